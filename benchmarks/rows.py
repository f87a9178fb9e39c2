"""The lines of the result: a number of ours beside upstream's, the physical limit and the budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a number of ours has to fulfil; None for no such demand.

    :ivar times: at least so many times better than upstream.
    :ivar share: at least this part of the physical limit.
    :ivar most: at most this value.
    """

    times: float | None = None
    share: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        parts = [f">= {self.times:g}x" if self.times else "", f">= {self.share:.0%} limit" if self.share else ""]
        parts.append(f"<= {self.most:g}" if self.most is not None else "")
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured number.

    :ivar upstream: upstream's number in the same run, None where it has no such thing or was not run.
    :ivar limit: what the server itself can do with the same bytes, where that is known.
    """

    benchmark: str
    metric: str
    unit: str
    ours: float
    upstream: float | None = None
    limit: float | None = None
    more_is_better: bool = False
    budget: Budget = field(default_factory=Budget)

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than upstream's, None where that cannot be said."""
        better, worse = (self.ours, self.upstream) if self.more_is_better else (self.upstream, self.ours)
        return better / worse if better and worse else None

    @property
    def is_ok(self) -> bool | None:
        """Whether the budget is kept; None where there is none, or where upstream did not run."""
        checks: list[bool] = []
        if self.budget.most is not None:
            checks.append(self.ours <= self.budget.most)
        if self.budget.share and self.limit:
            checks.append(self.ours >= self.budget.share * self.limit)
        if self.budget.times and self.ratio is not None:
            checks.append(self.ratio >= self.budget.times)
        return all(checks) if checks else None

    def to_plain(self) -> dict[str, Any]:
        """Return all as JSON takes it."""
        names = ("benchmark", "metric", "unit", "ours", "upstream", "limit", "more_is_better", "ratio", "is_ok")
        return {name: getattr(self, name) for name in names} | {"budget": str(self.budget)}
