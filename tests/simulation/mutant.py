"""One guard of the product that is removed: a replacement of text in one file, which must match exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One removed guard.

    :ivar within: how many histories the simulation has to notice it.
    :ivar needs_pods: it concerns pods, though it is no part of the agent.
    """

    name: str
    file: str
    old: str
    new: str
    within: int = 300
    needs_pods: bool = False

    @property
    def path(self) -> Path:
        """The file."""
        return _ROOT / self.file

    def mutated(self) -> str:
        """Return the text of the file without the guard.

        :raises ValueError: the file does not hold the guard exactly once.
        """
        text = self.path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"mutant {self.name}: {self.file} holds its text {text.count(self.old)} times")
        return text.replace(self.old, self.new)

    @property
    def is_of_pods(self) -> bool:
        """Only histories with pods can notice it."""
        return self.needs_pods or self.file.startswith("hybrid_executor/agent/")
