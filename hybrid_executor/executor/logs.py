"""The log of a running pod, read by Airflow's API server: the one place where an executor calls Kubernetes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid_executor.compat import team_of_dag
from hybrid_executor.config import DEFAULT_PROFILE, ConfigSource, Settings, airflow_config
from hybrid_executor.config.kubernetes import KubernetesSettings, read_kubernetes_settings
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.config.teams import our_teams
from hybrid_executor.errors import HybridError
from hybrid_executor.events import AttemptId
from hybrid_executor.store import Record, Store, open_configured_store

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

    from hybrid_executor.kube.client import KubeClient


class PodLogs:
    """Finds a task's pod through its record, so any process can ask. Connects when first asked, and stays connected."""

    def __init__(self, settings: Settings, conf: ConfigSource) -> None:
        self._settings = settings
        self._conf = conf
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
            settings, client = self._kubernetes_settings(), self._client(record.cluster)
            if not self._is_own(client, ti, record):
                return [f"The log of pod {record.pod} is not shown: the pod belongs to another team or deployment"], []
            text = client.read_pod_log(
                record.namespace, record.pod, container="base", tail_lines=settings.running_pod_log_lines
            )
        except HybridError as error:
            return [f"The log of the task's pod could not be read: {error}"], []
        return [f"{_title(record)}, last lines"], [iter(without_hand_over(text).splitlines())]

    def _is_own(self, client: KubeClient, ti: TaskInstance, record: Record) -> bool:
        """Return whether a pod is this attempt's. The record is in the Redis of a team, which may write there any pod.

        A pod that was made for the attempt has a name that is made from it. A warm pod has not.
        """
        from hybrid_executor.kube.names import is_of_another, pod_name

        if record.pod == pod_name(ti.dag_id, ti.task_id, record.id, record.launch):
            return True
        return not is_of_another(client.get_pod(record.namespace, record.pod), self._settings.instance)

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
            self._kubernetes = read_kubernetes_settings(self._conf)
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


class TeamLogs:
    """Finds the logs of an executor's pods. One of all teams finds those of teams too.

    Airflow's API server asks the executor of all teams for every log, also for that of a task that ran in the executor
    of its team.

    :param team: the executor's own, "" for all teams.
    :param open_own: returns the logs of its own pods.
    """

    def __init__(self, team: str, *, open_own: Callable[[], PodLogs]) -> None:
        self._team = team
        self._open_own = open_own
        self._known: dict[str, PodLogs] = {}

    def read(self, ti: TaskInstance, try_number: int) -> tuple[list[str], list[str]]:
        """Return what :meth:`PodLogs.read` returns."""
        return next((found for logs in self._of(ti) if (found := logs.read(ti, try_number))[0]), ([], []))

    def stream(self, ti: TaskInstance, try_number: int) -> tuple[list[str], list[Iterator[str]]]:
        """Return what :meth:`PodLogs.stream` returns."""
        return next((found for logs in self._of(ti) if (found := logs.stream(ti, try_number))[0]), ([], []))

    def _of(self, ti: TaskInstance) -> Iterator[PodLogs]:
        """Yield the logs of the team of the task's Dag, then those of the executor itself."""
        teams = [known for known in our_teams(airflow_config()) if known] if not self._team else []
        if teams and (team := team_of_dag(ti.dag_id)) in teams:
            if team not in self._known:
                conf = airflow_config(team)
                self._known[team] = PodLogs(read_configured_settings(conf), conf)
            yield self._known[team]
        if self._team not in self._known:
            self._known[self._team] = self._open_own()
        yield self._known[self._team]


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
