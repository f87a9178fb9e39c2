"""The workloads that run beside the scheduler: they have no records, and end with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hybrid_executor import compat
from hybrid_executor.executor.reports import Reports
from hybrid_executor.pools.pool import UnrecordedPool
from hybrid_executor.targets import Target

if TYPE_CHECKING:
    from hybrid_executor.compat import AirflowWorkload


class LocalWork:
    """Hands workloads to the pools beside the scheduler, and reports what becomes of them."""

    def __init__(self, pools: Mapping[str, UnrecordedPool], reports: Reports) -> None:
        self._pools = pools
        self._reports = reports

    @property
    def occupied(self) -> dict[str, int]:
        """How many workloads each pool has."""
        return {name: len(pool) for name, pool in self._pools.items()}

    def start(self) -> None:
        """Start the processes of the pools."""
        for pool in self._pools.values():
            pool.start()

    def submit(self, placed: Sequence[tuple[AirflowWorkload, Target]]) -> list[tuple[AirflowWorkload, Target]]:
        """Queue the workloads of these pools; return the others."""
        others = []
        for workload, target in placed:
            pool = self._pools.get(target.pool)
            if pool is None:
                others.append((workload, target))
                continue
            key = compat.key_of(workload)
            self._reports.taken(key)
            self._reports.running(key)
            pool.submit(key, workload)
        return others

    def sync(self) -> None:
        """Start what waits, and report what happened."""
        for pool in self._pools.values():
            self._reports.local(pool.sync())

    def end(self) -> None:
        """Wait until all workloads have ended, and report it."""
        for pool in self._pools.values():
            self._reports.local(pool.end())
