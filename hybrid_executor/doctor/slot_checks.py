"""Whether the limits of executors, teams and targets go together with ``[core] parallelism``. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hybrid_executor.config.teams import in_words_of
from hybrid_executor.doctor.findings import Finding, ok, warning
from hybrid_executor.routing import Routes

_NAME = "slots"


@dataclass(frozen=True, kw_only=True)
class SlotFacts:
    """The limits of one executor.

    :ivar team: "" for the executor of all teams.
    :ivar parallelism: ``[core] parallelism`` as this executor reads it, 0 for no limit.
    :ivar pools: the limit of each pool of its routes: ``celery_parallelism`` and the like.
    """

    team: str
    parallelism: int
    pools: Mapping[str, int] = field(default_factory=dict)

    def limit(self, pool: str) -> int:
        """Return how many tasks of one scheduler may be in a pool."""
        limit = self.pools.get(pool, 0)
        return min(self.parallelism, limit) if self.parallelism else limit

    @property
    def total(self) -> int:
        """How many tasks of one scheduler this executor may have."""
        return sum(map(self.limit, self.pools))


def judge_slots(
    executors: Sequence[SlotFacts], *, asked: SlotFacts, routes: Routes, total: int, schedulers: int
) -> list[Finding]:
    """Say which limits have no effect, and whether one team can take the slots of all others.

    :param executors: all executors of this project. :param asked: the one that is asked about.
    :param routes: those of ``asked``. :param total: ``[core] parallelism`` of all teams, 0 for no limit.
    :param schedulers: how many live.
    """
    found = [*_judge_pools(asked), *_judge_targets(asked, routes, schedulers), *_judge_sum(executors, total)]
    if found:
        return found
    pools = ", ".join(f"{pool} {asked.limit(pool)}" for pool in sorted(asked.pools))
    return [ok(_NAME, f"in each scheduler at most: {pools}")]


def _judge_pools(facts: SlotFacts) -> list[Finding]:
    section = f"{facts.team}=core" if facts.team else "core"
    return [
        warning(
            _NAME,
            in_words_of(
                facts.team,
                f"[hybrid_executor] {pool}_parallelism = {limit} has no effect above [{section}] parallelism = "
                f"{facts.parallelism}",
            ),
            f"set [{section}] parallelism to {limit} or more, or write a smaller number",
        )
        for pool, limit in sorted(facts.pools.items())
        if 0 < facts.parallelism < limit
    ]


def _judge_targets(facts: SlotFacts, routes: Routes, schedulers: int) -> list[Finding]:
    found = []
    for route in routes.routes:
        for target in route.targets:
            most = facts.limit(target.pool) * max(1, schedulers)
            if target.most is not None and target.most > most > 0:
                told = f"{schedulers} schedulers put" if schedulers > 1 else "one scheduler puts"
                what = (
                    f"target {target.name} of the route {route.pattern} has max={target.most}, but {told} at most "
                    f"{most} tasks in the pool {target.pool}"
                )
                cure = f"raise [core] parallelism and [hybrid_executor] {target.pool}_parallelism, or write max={most}"
                found.append(warning(_NAME, in_words_of(facts.team, what), in_words_of(facts.team, cure)))
    return found


def _judge_sum(executors: Sequence[SlotFacts], total: int) -> list[Finding]:
    wanted = sum(facts.total for facts in executors)
    if len(executors) < 2 or not total or wanted <= total:
        return []
    listed = ", ".join(f"{facts.team or 'all teams'} {facts.total}" for facts in executors)
    return [
        warning(
            _NAME,
            f"the executors may have {wanted} tasks in each scheduler ({listed}), but Airflow starts no more than "
            f"[core] parallelism = {total} for all of them: one team can take the slots of the others",
            f"set [core] parallelism to {wanted} for all teams, or lower [TEAM=core] parallelism, or "
            "celery_parallelism and kubernetes_parallelism in [TEAM=hybrid_executor]",
        )
    ]
