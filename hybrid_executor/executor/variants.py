"""The documented executors: the same one with other routes, and with Airflow's LocalExecutor in Celery's place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.executors.local_executor import LocalExecutor

from hybrid_executor import compat
from hybrid_executor.config.settings import Shape
from hybrid_executor.executor.desk import RecordedPool
from hybrid_executor.executor.hybrid import HybridExecutor
from hybrid_executor.pools.kubernetes import KubernetesPool
from hybrid_executor.pools.local import LocalEvent, LocalPool

if TYPE_CHECKING:
    from hybrid_executor.compat import AirflowWorkload


class KubernetesExecutor(HybridExecutor):
    """Every task runs in a pod, whatever its queue."""

    shape: ClassVar[Shape] = "kubernetes"


class LocalKubernetesExecutor(HybridExecutor):
    """Kubernetes queues become pods; the rest runs in Airflow's LocalExecutor, beside the scheduler."""

    shape: ClassVar[Shape] = "local_kubernetes"
    serve_logs = True
    is_local = True

    _local: LocalPool | None = None

    def start(self) -> None:
        """Start as the hybrid executor does, and the local worker processes."""
        super().start()
        if "local" in self.settings.routes.pools:
            executor = LocalExecutor(  # type: ignore[no-untyped-call]
                parallelism=self._limits()["local"]
            )
            executor.job_id = self.job_id
            self._local = LocalPool(executor)
            self._local.start()

    def _make_pools(self, conf: Any) -> dict[str, RecordedPool]:
        if "kubernetes" not in self.settings.routes.pools:
            return {}
        return {"kubernetes": KubernetesPool(kinds=compat.kinds_in_pods())}

    def _process_workloads(self, workload_items: Sequence[AirflowWorkload]) -> None:
        """Hand local work to the LocalExecutor and submit the rest."""
        remote = []
        for workload in workload_items:
            if self._local is not None and self._pool_of(workload) == "local":
                key = compat.key_of(workload)
                compat.drop_queued(self, key)
                self.running.add(key)
                self._local.submit(key, workload)
            else:
                remote.append(workload)
        if remote:
            super()._process_workloads(remote)

    def _hand_out(self) -> None:
        """Hand out local work also while Redis is away."""
        if self._local is None or self._desk is None or self._desk.outage.may_ask():
            super()._hand_out()
            return
        local = [item for item in compat.queued_workloads(self) if self._pool_of(item[1]) == "local"]
        free = self._free_for_waiting()["local"]
        if local and free:
            self._process_workloads([workload for _, workload in local[:free]])

    def sync(self) -> None:
        """Take in what local processes did, then everything else."""
        if self._local is not None:
            self._pass_on(self._local.sync())
        super().sync()

    def _pass_on(self, happened: Sequence[LocalEvent]) -> None:
        for key, state, info, workload_run_id in happened:
            if self._local is None or key not in self._local:
                self.running.discard(key)
            told = compat.event_key(key)
            self.change_state(told, state, info, remove_running=False, workload_run_id=workload_run_id or None)

    def _live_count(self, pool: str) -> int:
        if pool == "local":
            return len(self._local) if self._local is not None else 0
        return super()._live_count(pool)

    def end(self) -> None:
        """Let local tasks finish, as the LocalExecutor does, and end the rest as the hybrid executor does."""
        if self._local is not None:
            self._pass_on(self._local.end())
            self._local = None
        super().end()
