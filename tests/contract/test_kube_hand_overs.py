"""Workloads handed over to pods: by the sandbox, and by a real API server and kubelet where ``KUBECONFIG`` names some.

The image that ``HYBRID_TEST_IMAGE`` names needs a shell only: some lines of it speak the protocol of the program.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.agent.main import Agent
from hybrid_executor.config import DictConfig, read_settings
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.kube.awaiting_pod import hand_over_state
from hybrid_executor.kube.warm_pod import CLAIMED
from hybrid_executor.states import State
from hybrid_executor.store import Record, RedisSettings, Store, Submission, open_store
from tests.conftest import RedisServer

from .kube_cluster import Cluster, real, sandbox, until

pytestmark = [pytest.mark.kube, pytest.mark.redis, pytest.mark.filterwarnings("ignore:Unverified HTTPS request")]

SCRIPT = """
trap 'exit 97' TERM
echo 'hybrid-executor: ready'
read -r attempt payload || exit 97
trap - TERM
exec </dev/null
echo "hybrid-executor: accepted $attempt"
echo "ran with ${#payload} characters, and then read: $(cat)"
"""
TEMPLATE = {
    "apiVersion": "v1",
    "kind": "Pod",
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "base", "command": ["sh", "-c", SCRIPT]}],
    },
}


class Ground:
    """A cluster with an agent at work in it."""

    def __init__(self, cluster: Cluster, redis_url: str, folder: Path, **options: str) -> None:
        self.cluster = cluster
        self.instance = f"contract-{uuid.uuid4().hex[:8]}"
        self.store: Store = open_store(RedisSettings(url=redis_url), instance=self.instance)
        (folder / "profiles.yaml").write_text("warm: {warm: {idle: 1, most: 1}}\nown: {}\n")
        (folder / "template.yaml").write_text(json.dumps(TEMPLATE))
        hybrid = {"redis_url": redis_url, "instance": self.instance, "profiles_file": str(folder / "profiles.yaml")}
        settings = read_settings(DictConfig({"hybrid_executor": {**hybrid, **options}}))
        repository, _, tag = cluster.image.rpartition(":")
        agent = Agent(
            settings=replace(settings, agent_lease_seconds=2.0),
            kubernetes_settings=replace(
                cluster.settings,
                namespace=cluster.namespace,
                pod_template_file=str(folder / "template.yaml"),
                worker_container_repository=repository,
                worker_container_tag=tag,
                delete_worker_pods=False,
            ),
            name="agent-1",
            hook=None,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=agent.run, args=(self._stop,), kwargs={"has_lost_parent": bool})
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.store.close()

    def submit(self, profile: str) -> AttemptId:
        attempt = AttemptId(str(uuid.uuid4()))
        about: dict[str, str | int] = {"dag_id": "dag", "task_id": "task", "run_id": "run", "try_number": 1}
        submission = Submission(
            attempt=attempt,
            owner=OwnerId("1"),
            pool="kubernetes",
            fields={**about, "kind": "task", "queue": "q", "cluster": "default", "profile": profile},
            payload='{"token": "secret-token"}',
            cluster="default",
        )
        self.store.attempts.submit([submission])
        return attempt

    def wait_for(self, attempt: AttemptId, state: State) -> Record:
        def reached() -> Record | None:
            [record] = self.store.attempts.records([attempt])
            assert record is not None
            assert record.state is state or not record.state.is_terminal, record.reason
            return record if record.state is state else None

        found: Record = until(reached, seconds=120)
        return found

    def pod(self, record: Record) -> dict[str, Any]:
        return self.cluster.client.get_pod(record.namespace, record.pod)

    def log(self, record: Record) -> str:
        return self.cluster.client.read_pod_log(record.namespace, record.pod, container="base", tail_lines=None)


@contextmanager
def ground(where: str, redis_url: str, folder: Path, **options: str) -> Iterator[Ground]:
    with sandbox(folder, runs_pods=True) if where == "sandbox" else real(needs_kubelet=True) as cluster:
        opened = Ground(cluster, redis_url, folder, **options)
        try:
            yield opened
        finally:
            opened.close()


def check_run(place: Ground, attempt: AttemptId) -> Record:
    """Wait for the attempt to end, and look at its pod, which is kept. Return its record."""
    record = place.wait_for(attempt, State.SUCCEEDED)
    pod = place.pod(record)
    assert hand_over_state(pod) == CLAIMED
    assert pod["metadata"]["labels"]["hybrid-executor/attempt"] == attempt
    assert "secret-token" not in json.dumps(pod)
    ready, accepted, ran = place.log(record).splitlines()
    assert (ready, accepted) == ("hybrid-executor: ready", f"hybrid-executor: accepted {attempt}")
    assert ran == f"ran with {len(json.dumps({'token': 'secret-token'}))} characters, and then read: "
    return record


@pytest.mark.parametrize("where", ["sandbox", "cluster"])
def test_a_warm_pod_gets_one_workload_and_no_object_of_the_cluster_holds_it(
    where: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    with ground(where, redis_server.url, tmp_path, routes="*=kubernetes:warm") as place:
        pattern = f"{place.store.keys.prefix}warm-ready:*"
        keys = until(lambda: list(place.store.client.keys(pattern)), seconds=120)
        [waiting] = until(lambda: place.store.client.zrange(str(keys[0]), 0, -1), seconds=120)
        record = check_run(place, place.submit("warm"))
        assert f"{record.namespace}/{record.pod}" == waiting


@pytest.mark.parametrize("where", ["sandbox", "cluster"])
def test_a_pod_of_one_attempt_gets_its_workload_by_standard_input(
    where: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    with ground(where, redis_server.url, tmp_path, routes="*=kubernetes:own", pod_token="stdin") as place:
        attempts = [place.submit("own") for _ in range(2)]
        pods = {check_run(place, attempt).pod for attempt in attempts}
        assert len(pods) == 2
