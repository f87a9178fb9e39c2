"""The names by which users of Airflow's executors know launcher and watcher."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import fakeredis
import pytest

from hybrid_executor.agent.data_loss import DataLoss
from hybrid_executor.agent.launch.launcher import AirflowKubernetesScheduler as DefinedLauncher
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.launcher import AirflowKubernetesScheduler
from hybrid_executor.agent.removal import PodRemover
from hybrid_executor.agent.warm.launches import WarmLaunches
from hybrid_executor.agent.watch.watcher import KubernetesJobWatcher as DefinedWatcher
from hybrid_executor.agent.watcher import KubernetesJobWatcher
from hybrid_executor.complaints import Complaints
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KubeError
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.fairness import Shares
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.names import LABEL_INSTANCE, pod_name
from hybrid_executor.states import State
from hybrid_executor.store import Store, Submission

SETTINGS = KubernetesSettings(worker_container_repository="task", worker_container_tag="1")
PATIENCE = 20.0


class Cluster:
    """A cluster that takes everything and remembers it.

    :ivar refuses: it deletes nothing now. :ivar refused: how often it was asked in vain.
    """

    def __init__(self) -> None:
        self.refuses, self.refused = False, 0
        self.created: list[tuple[str, str]] = []
        self.deleted: list[tuple[str, str, str | None]] = []
        self.patched: list[tuple[str, str, Any]] = []

    def create_pod(self, namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self.created.append((namespace, manifest["metadata"]["name"]))
        return {**manifest, "metadata": {**manifest["metadata"], "uid": "u-1"}}

    def get_pod(self, namespace: str, name: str) -> dict[str, Any]:
        return {"metadata": {"namespace": namespace, "name": name, "labels": {LABEL_INSTANCE: "test"}}}

    def delete_pod(self, namespace: str, name: str, *, uid: str | None) -> bool:
        if self.refuses:
            self.refused += 1
            raise KubeError("delete a pod", status=500)
        self.deleted.append((namespace, name, uid))
        return True

    def patch_pod(self, namespace: str, name: str, patch: Any) -> dict[str, Any]:
        self.patched.append((namespace, name, patch))
        return {}


class Launcher(AirflowKubernetesScheduler):
    """A launcher that writes down which of its documented methods it calls."""

    def __init__(self, **rest: Any) -> None:
        self.calls: list[str] = []
        super().__init__(**rest)

    def run_pod_async(self, manifest: Mapping[str, Any], **rest: object) -> dict[str, Any]:
        self.calls.append("run_pod_async")
        return super().run_pod_async(manifest, **rest)

    def delete_pod(
        self, pod_name: str, namespace: str, *, uid: str = "", on_done: Callable[[], None] | None = None
    ) -> None:
        self.calls.append("delete_pod")
        super().delete_pod(pod_name, namespace, uid=uid, on_done=on_done)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True), instance="test")
    yield store
    store.close()


@pytest.fixture
def launcher(cluster: Cluster, store: Store) -> Iterator[Launcher]:
    client = cast(KubeClient, cluster)
    remover = PodRemover(client, cluster="default", complaints=Complaints(), threads=1)
    factory = PodFactory(SETTINGS, instance="test", profiles={})
    launcher = Launcher(
        cluster="default",
        agent="agent",
        instance="test",
        client=client,
        store=store,
        factory=factory,
        settings=SETTINGS,
        remover=remover,
        complaints=Complaints(),
        pods_per_second=100.0,
        token_seconds=600.0,
        data_loss=DataLoss(store.events),
        warm=WarmLaunches(
            cluster="default", instance="i", client=client, store=store, factory=factory, complaints=Complaints()
        ),
        shares=Shares(),
    )
    yield launcher
    launcher.finish(seconds=5)
    remover.close(seconds=5)


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_launcher_and_watcher_are_found_under_their_documented_paths() -> None:
    assert AirflowKubernetesScheduler is DefinedLauncher
    assert KubernetesJobWatcher is DefinedWatcher
    assert callable(KubernetesJobWatcher.run)
    assert callable(KubernetesJobWatcher._run)


def test_the_documented_methods_create_mark_and_delete_pods(launcher: Launcher, cluster: Cluster) -> None:
    launcher.run_pod_async({"metadata": {"name": "one", "namespace": "n"}})
    launcher.patch_pod_executor_done(pod_name="one", namespace="n")
    launcher.delete_pod("one", "n")
    wait_until(lambda: bool(cluster.deleted))
    assert cluster.created == [("n", "one")]
    assert cluster.patched == [("n", "one", {"metadata": {"labels": {"airflow_executor_done": "True"}}})]
    assert cluster.deleted == [("n", "one", None)]
    assert launcher._make_safe_pod_id("dag", "task", "a", 1) == pod_name("dag", "task", "a", 1)


def test_launches_and_deletions_go_through_the_documented_methods(
    launcher: Launcher, cluster: Cluster, store: Store
) -> None:
    attempt = AttemptId("a")
    fields = {"dag_id": "d", "task_id": "t", "queue": "q", "cluster": "default"}
    submission = Submission(
        attempt=attempt, owner=OwnerId("1"), pool="kubernetes", fields=fields, payload="{}", cluster="default"
    )
    store.attempts.submit([submission])
    stop = threading.Event()
    thread = threading.Thread(target=lambda: launcher.run(stop))
    thread.start()
    try:
        wait_until(lambda: _state_of(store, attempt) is State.PENDING)
        cluster.refuses = True
        store.attempts.revoke([attempt], reason="ended by a test")
        wait_until(lambda: cluster.refused > 0)
        assert launcher.in_flight == 1, "its entry stays until the deletion is done"
        cluster.refuses = False
        wait_until(lambda: bool(cluster.deleted) and launcher.in_flight == 0)
    finally:
        stop.set()
        thread.join()
    name = pod_name("d", "t", attempt)
    assert launcher.calls == ["run_pod_async", "delete_pod"]
    assert cluster.created == [("default", name)]
    assert cluster.deleted == [("default", name, None)]


def _state_of(store: Store, attempt: AttemptId) -> State | None:
    record = store.attempts.records([attempt])[0]
    return record and record.state
