"""One guard of the product that is removed: a replacement of text in one file, which must match exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.simulation.plan import ActionKind, FaultKind, Plan

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One removed guard.

    :ivar within: how many histories the simulation has to notice it.
    :ivar unseen_because: why no history notices it, "" for one that is to be noticed.
    :ivar test: the ordinary test that notices it, where no history does.
    :ivar needs_pods: it concerns pods, though it is no part of the agent.
    :ivar needs_warm: it concerns warm pods.
    :ivar needs: faults or actions without which the guard has nothing to do; one of them is enough.
    """

    name: str
    file: str
    old: str
    new: str
    within: int = 1000
    needs_pods: bool = False
    needs_warm: bool = False
    needs: tuple[FaultKind | ActionKind, ...] = ()
    unseen_because: str = ""
    test: str = ""

    @property
    def path(self) -> Path:
        """The file."""
        return ROOT / self.file

    def mutated(self) -> str:
        """Return the text of the file without the guard.

        :raises ValueError: the file does not hold the guard exactly once.
        """
        text = self.path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"mutant {self.name}: {self.file} holds its text {text.count(self.old)} times")
        return text.replace(self.old, self.new)

    def may_be_noticed_in(self, plan: Plan) -> bool:
        """Return whether the guard can have something to do in a history."""
        if (self.needs_pods or self.file.startswith("hybrid_executor/agent/")) and not plan.agents:
            return False
        return (bool(plan.warm) or not self.needs_warm) and (not self.needs or plan.has(*self.needs))
