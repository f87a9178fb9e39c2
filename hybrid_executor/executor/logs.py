"""The log of a running pod, read by Airflow's API server: the one place where an executor calls Kubernetes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hybrid_executor.config import airflow_config
from hybrid_executor.config.kubernetes import read_kubernetes_settings
from hybrid_executor.errors import HybridError
from hybrid_executor.events import AttemptId
from hybrid_executor.store import RedisSettings, Store, open_store

if TYPE_CHECKING:
    from hybrid_executor.executor.hybrid import HybridExecutor


def read_pod_log(executor: HybridExecutor, ti: Any, try_number: int) -> tuple[list[str], list[str]]:
    """Return messages about, and lines of, the log of a task's pod; nothing where the task has no pod.

    An error becomes a message: a person who looks at a log is told why there is none.
    """
    if "kubernetes" not in executor.settings.routes.pools or not ti.external_executor_id:
        return [], []
    if try_number != ti.try_number:
        return [], []
    location = executor.settings.redis
    if location is None:
        return [], []
    try:
        record, _, _ = _store(location.url, executor.settings.instance).attempts.workload(
            AttemptId(ti.external_executor_id)
        )
        if record is None or record.pool != "kubernetes" or not record.pod:
            return [], []
        settings = read_kubernetes_settings(airflow_config())
        client = _client(executor, record.cluster)
        text = client.read_pod_log(
            record.namespace, record.pod, container="base", tail_lines=settings.running_pod_log_lines
        )
    except HybridError as error:
        return [f"The log of the task's pod could not be read: {error}"], []
    lines = text if isinstance(text, str) else "".join(text)
    return [f"Log of pod {record.pod} in namespace {record.namespace}, last lines"], lines.splitlines()


@lru_cache(maxsize=4)
def _store(url: str, instance: str) -> Store:
    return open_store(RedisSettings(url=url, connect_seconds=1.0, answer_seconds=3.0), instance=instance)


_clients: dict[tuple[str, str], Any] = {}


def _client(executor: HybridExecutor, cluster: str) -> Any:
    from hybrid_executor.kube.client import connect

    identity = (executor.settings.instance, cluster)
    if identity not in _clients:
        profile = executor.settings.clusters.get(cluster)
        _clients[identity] = connect(
            read_kubernetes_settings(airflow_config()),
            context=profile.cluster_context if profile else None,
            config_file=profile.config_file if profile else None,
            in_cluster=profile.in_cluster if profile else None,
        )
    return _clients[identity]
