"""The log of a running pod, read by Airflow's API server: the one place where an executor calls Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid_executor.config import DEFAULT_PROFILE, Settings, airflow_config
from hybrid_executor.config.kubernetes import KubernetesSettings, read_kubernetes_settings
from hybrid_executor.errors import HybridError
from hybrid_executor.events import AttemptId
from hybrid_executor.store import Record, Store, open_configured_store

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

    from hybrid_executor.kube.client import KubeClient


class PodLogs:
    """Finds a task's pod through its record, so any process can ask. Connects when first asked, and stays connected."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: Store | None = None
        self._kubernetes: KubernetesSettings | None = None
        self._clients: dict[str, KubeClient] = {}

    def read(self, ti: TaskInstance, try_number: int) -> tuple[list[str], list[str]]:
        """Return messages about, and the last lines of, the log of a task's pod; nothing where it has no pod.

        An error becomes a message, so that the reader of a log sees why there is none.
        """
        messages, streams = self.stream(ti, try_number)
        return messages, [line for stream in streams for line in stream]

    def stream(self, ti: TaskInstance, try_number: int) -> tuple[list[str], list[Iterator[str]]]:
        """Return what :meth:`read` returns, with the lines as an iterator in a list; no list where there is no log."""
        from hybrid_executor.kube.warm_pod import without_hand_over

        try:
            record = self._find(ti, try_number)
            if record is None:
                return [], []
            if _is_shared(ti, try_number):
                # Airflow shows the file too, and the pod prints the same lines.
                return [f"{_title(record)}: read from the folder of task logs, which it shares"], []
            settings = self._kubernetes_settings()
            text = self._client(record.cluster).read_pod_log(
                record.namespace, record.pod, container="base", tail_lines=settings.running_pod_log_lines
            )
        except HybridError as error:
            return [f"The log of the task's pod could not be read: {error}"], []
        return [f"{_title(record)}, last lines"], [iter(without_hand_over(text).splitlines())]

    def _find(self, ti: TaskInstance, try_number: int) -> Record | None:
        if "kubernetes" not in self._settings.routes.pools or self._settings.redis is None:
            return None
        if not ti.external_executor_id or try_number != ti.try_number:
            return None
        if self._store is None:
            self._store = open_configured_store(self._settings, connect_seconds=1.0, answer_seconds=3.0)
        [record] = self._store.attempts.records([AttemptId(ti.external_executor_id)])
        return record if record is not None and record.pool == "kubernetes" and record.pod else None

    def _kubernetes_settings(self) -> KubernetesSettings:
        if self._kubernetes is None:
            self._kubernetes = read_kubernetes_settings(airflow_config())
        return self._kubernetes

    def _client(self, cluster: str) -> KubeClient:
        from hybrid_executor.kube.client import connect

        if cluster not in self._clients:
            profile = self._settings.clusters.get(cluster, DEFAULT_PROFILE)
            self._clients[cluster] = connect(
                self._kubernetes_settings(),
                context=profile.cluster_context,
                config_file=profile.config_file,
                in_cluster=profile.in_cluster,
            )
        return self._clients[cluster]


def _title(record: Record) -> str:
    return f"Log of pod {record.pod} in namespace {record.namespace}"


def _is_shared(ti: TaskInstance, try_number: int) -> bool:
    """Return whether the log that the pod's task writes can be read here as a file."""
    from airflow.utils.helpers import log_filename_template_renderer

    try:
        name = log_filename_template_renderer()(ti=ti, try_number=try_number)
        return Path(str(airflow_config().get("logging", "base_log_folder")), name).stat().st_size > 0
    except (OSError, ValueError, LookupError, AttributeError):
        return False
