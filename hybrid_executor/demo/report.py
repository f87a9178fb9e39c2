"""The result of a demo, as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from hybrid_executor.demo.rows import Row

_PACKAGES = ("apache-airflow", "airflow-hybrid-executor", "celery", "redis", "kubernetes")


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result.

    :ivar problems: what is wrong; empty if everything is correct.
    :ivar seconds: duration by phase.
    """

    problems: Sequence[str]
    routes: str
    run_states: Mapping[str, str]
    rows: Sequence[Row]
    seconds: Mapping[str, float]

    @property
    def verdict(self) -> str:
        """The last line of the demo."""
        if not self.problems:
            return "demo: ok"
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        return f"demo: failed: {self.problems[0].splitlines()[0]}{more}"

    def as_dict(self) -> dict[str, Any]:
        """Return everything in plain types."""
        return {
            "ok": not self.problems,
            "problems": list(self.problems),
            "routes": self.routes,
            "runs": dict(self.run_states),
            "attempts": [row.as_dict() for row in self.rows],
            "seconds": {phase: round(value, 1) for phase, value in self.seconds.items()},
            "python": platform.python_version(),
            "versions": {name: metadata.version(name) for name in _PACKAGES},
        }

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")
