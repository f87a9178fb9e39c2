"""An agent against Kubernetes APIs: the sandbox, and a real cluster where ``KUBECONFIG`` names one.

No kubelet is needed: the tests write what a kubelet would write into the status of pods. Each row is one life of a pod,
from its creation by the agent to what the record and the cluster hold in the end.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hybrid_executor.agent.main import Agent
from hybrid_executor.config import DictConfig, read_settings
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.kube.names import LABEL_DONE, attempt_selector
from hybrid_executor.kube.overrides import read_overrides
from hybrid_executor.states import State
from hybrid_executor.store import Record, RedisSettings, Store, Submission, open_store
from tests.conftest import RedisServer

from .kube_cluster import (
    ANY_IMAGE,
    UNSCHEDULABLE,
    Cluster,
    container_status,
    namespace_in,
    real,
    sandbox,
    status,
    until,
)

pytestmark = [pytest.mark.kube, pytest.mark.redis, pytest.mark.filterwarnings("ignore:Unverified HTTPS request")]


class Field:
    """A cluster with an agent at work in it."""

    def __init__(self, cluster: Cluster, redis_url: str) -> None:
        self.cluster = cluster
        self.instance = f"contract-{uuid.uuid4().hex[:8]}"
        self.store: Store = open_store(RedisSettings(url=redis_url), instance=self.instance)
        options = {"redis_url": redis_url, "routes": "*=kubernetes", "instance": self.instance}
        settings = read_settings(DictConfig({"hybrid_executor": {**options, "pod_creation_rate": "1000"}}))
        agent = Agent(
            settings=replace(settings, relist_interval_seconds=300.0, agent_lease_seconds=2.0),
            kubernetes_settings=replace(
                cluster.settings,
                namespace=cluster.namespace,
                worker_container_repository="example.invalid/airflow",
                worker_container_tag="1",
                pod_launch_failure_retries=0,
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

    def submit(self, pod: dict[str, Any] | None = None) -> AttemptId:
        """Submit a task whose pod no kubelet takes."""
        attempt = AttemptId(str(uuid.uuid4()))
        override = pod or {"spec": {"containers": [{"name": "base", "resources": UNSCHEDULABLE}]}}
        about: dict[str, str | int] = {"dag_id": "dag", "task_id": "task", "run_id": "run", "try_number": 1}
        submission = Submission(
            attempt=attempt,
            owner=OwnerId("1"),
            pool="kubernetes",
            fields={**about, "kind": "task", "queue": "q", "cluster": "default"},
            payload='{"token": "secret-token"}',
            overrides=json.dumps({"pod": override}),
            cluster="default",
        )
        self.store.attempts.submit([submission])
        return attempt

    def record(self, attempt: AttemptId) -> Record:
        [record] = self.store.attempts.records([attempt])
        assert record is not None
        return record

    def wait_for(self, attempt: AttemptId, state: State) -> Record:
        until(lambda: self.record(attempt).state in (state, State.FAILED, State.SUCCEEDED))
        record = self.record(attempt)
        assert (record.state, record.reason) == (state, record.reason)
        return record

    def pods(self, attempt: AttemptId) -> list[dict[str, Any]]:
        return self.cluster.client.list_pods(self.cluster.namespace, attempt_selector(self.instance, attempt)).items


@pytest.fixture(scope="module", params=["sandbox", "cluster"])
def ground(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Field]:
    is_sandbox = request.param == "sandbox"
    tmp = tmp_path_factory.mktemp("lives")
    with sandbox(tmp, runs_pods=False) if is_sandbox else real(needs_kubelet=False) as cluster:
        opened = Field(cluster, redis_server.url)
        yield opened
        opened.close()


def ended(code: int, reason: str, name: str = "base", **more: Any) -> dict[str, Any]:
    return container_status(name, terminated={"exitCode": code, "reason": reason, **more})


def waits(reason: str, message: str) -> dict[str, Any]:
    return status("Pending", container_status(waiting={"reason": reason, "message": message}))


RUNS = status("Running", container_status(running={}))
SIDECAR_RUNS = container_status("sidecar", running={})


@dataclass(frozen=True, kw_only=True)
class Life:
    """What a kubelet writes, one status after the other, and what comes of it.

    :ivar is_deleted: somebody deletes the pod at the end.
    :ivar leaves: "nothing", or a pod that is "marked" as done with.
    :ivar containers: beside ``base``.
    """

    name: str
    statuses: tuple[dict[str, Any], ...] = ()
    is_deleted: bool = False
    state: State = State.FAILED
    category: str
    words: str = ""
    leaves: str = "marked"
    containers: tuple[str, ...] = field(default=())


LIVES = [
    Life(
        name="runs and completes",
        statuses=(RUNS, status("Succeeded", ended(0, "Completed"))),
        state=State.SUCCEEDED,
        category="completed",
        leaves="nothing",
    ),
    Life(
        name="completes without being seen running",
        statuses=(status("Succeeded", ended(0, "Completed")),),
        state=State.SUCCEEDED,
        category="completed",
        leaves="nothing",
    ),
    Life(
        name="base completes and a sidecar goes on",
        statuses=(RUNS, status("Running", ended(0, "Completed"), SIDECAR_RUNS)),
        state=State.SUCCEEDED,
        category="completed",
        leaves="nothing",
        containers=("sidecar",),
    ),
    Life(
        name="exits with an error",
        statuses=(RUNS, status("Failed", ended(3, "Error"))),
        category="exit_nonzero",
        words="exit code 3",
    ),
    Life(
        name="is killed for its memory",
        statuses=(RUNS, status("Failed", ended(137, "OOMKilled"))),
        category="oom_killed",
        words="memory",
    ),
    Life(
        name="is evicted",
        statuses=(RUNS, status("Failed", reason="Evicted", message="The node was low on resource: memory.")),
        category="evicted",
        words="low on resource: memory",
    ),
    Life(
        name="is evicted, which its kubelet says after the container's end",
        statuses=(
            RUNS,
            status("Running", ended(137, "Error")),
            status("Failed", ended(137, "Error"), reason="Evicted", message="The node was low on resource: memory."),
        ),
        category="evicted",
        words="low on resource: memory",
    ),
    Life(
        name="is evicted and ends with exit code 0",
        statuses=(
            RUNS,
            status("Running", ended(0, "Completed")),
            status("Failed", ended(0, "Completed"), reason="Evicted", message="The node was low on resource: memory."),
        ),
        category="evicted",
        words="low on resource: memory",
    ),
    Life(
        name="exits with an error, which its kubelet says twice",
        statuses=(RUNS, status("Running", ended(3, "Error")), status("Failed", ended(3, "Error"))),
        category="exit_nonzero",
        words="exit code 3",
    ),
    Life(
        name="loses its task to the kernel and exits with 0",
        statuses=(RUNS, status("Succeeded", ended(0, "OOMKilled"))),
        category="oom_killed",
        words="memory",
    ),
    Life(
        name="may not pull its image",
        statuses=(
            waits("ErrImageNeverPull", f'Container image "{ANY_IMAGE}" is not present with pull policy of Never'),
        ),
        category="image_pull",
        words="ErrImageNeverPull",
        leaves="nothing",
    ),
    Life(
        name="is preempted",
        statuses=(
            RUNS,
            status(
                "Failed",
                ended(137, "Error"),
                conditions=[
                    {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "PreemptionByScheduler",
                        "message": "default-scheduler: preempting to accommodate a higher priority pod",
                    }
                ],
            ),
        ),
        category="preempted",
        words="higher priority",
    ),
    Life(
        name="is lost with its node",
        statuses=(RUNS, status("Failed", reason="NodeLost", message="Node n1 is gone")),
        category="node_lost",
        words="Node n1 is gone",
    ),
    Life(
        name="is failed by the node's provider",
        statuses=(status("Failed", reason="ProviderFailed", message="no capacity left"),),
        category="provider_failed",
        words="no capacity left",
    ),
    Life(
        name="has no image",
        statuses=(waits("ErrImagePull", f'rpc error: manifest for "{ANY_IMAGE}" not found'),),
        category="image_pull",
        words=ANY_IMAGE,
        leaves="nothing",
    ),
    Life(
        name="may not pull so soon",
        statuses=(waits("ErrImagePull", "pull QPS exceeded"), RUNS, status("Succeeded", ended(0, "Completed"))),
        state=State.SUCCEEDED,
        category="completed",
        leaves="nothing",
    ),
    Life(
        name="has an image name that is none",
        statuses=(waits("InvalidImageName", "couldn't parse image name"),),
        category="image_invalid",
        words="couldn't parse image name",
        leaves="nothing",
    ),
    Life(
        name="lacks a config map",
        statuses=(waits("CreateContainerConfigError", 'configmap "settings" not found'),),
        category="config_error",
        words='configmap "settings" not found',
        leaves="nothing",
    ),
    Life(
        name="fails in an init container",
        statuses=(
            status(
                "Failed",
                container_status(waiting={"reason": "PodInitializing"}),
                initContainerStatuses=[ended(2, "Error", "fetch")],
            ),
        ),
        category="init_failed",
        words="fetch",
    ),
    Life(
        name="is deleted before it starts",
        is_deleted=True,
        category="deleted_before_start",
        words="deleted before its task started",
        leaves="nothing",
    ),
    Life(
        name="is deleted while it runs",
        statuses=(RUNS,),
        is_deleted=True,
        category="deleted",
        words="deleted while its task ran",
        leaves="nothing",
    ),
    Life(
        name="completes and is deleted at once",
        statuses=(RUNS, status("Succeeded", ended(0, "Completed"))),
        is_deleted=True,
        state=State.SUCCEEDED,
        category="completed",
        leaves="nothing",
    ),
]


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_a_pod_that(ground: Field, life: Life) -> None:
    containers = [{"name": "base", "resources": UNSCHEDULABLE}]
    containers += [{"name": name, "image": ANY_IMAGE} for name in life.containers]
    if life.category == "init_failed":
        spec: dict[str, Any] = {"containers": containers, "initContainers": [{"name": "fetch", "image": ANY_IMAGE}]}
    else:
        spec = {"containers": containers}
    attempt = ground.submit({"spec": spec})
    record = ground.wait_for(attempt, State.PENDING)
    for number, written in enumerate(life.statuses):
        ground.cluster.set_status(record.pod, written)
        is_last = number == len(life.statuses) - 1
        if not is_last and written["phase"] == "Running":
            ground.wait_for(attempt, State.RUNNING)
    if life.is_deleted:
        if life.statuses and life.state is not State.SUCCEEDED:
            ground.wait_for(attempt, State.RUNNING)
        ground.cluster.client.delete_pod(ground.cluster.namespace, record.pod, grace_period_seconds=0)
    final = ground.wait_for(attempt, life.state)
    assert final.category == life.category
    assert life.words in final.reason
    assert "None" not in final.reason
    if life.leaves == "nothing":
        until(lambda: ground.pods(attempt) == [])
    else:
        until(lambda: all(LABEL_DONE in pod["metadata"]["labels"] for pod in ground.pods(attempt)))
        assert [pod["metadata"]["name"] for pod in ground.pods(attempt)] == [final.pod]


def test_a_pod_that_the_api_refuses_fails_with_its_words(ground: Field) -> None:
    attempt = ground.submit({"metadata": {"labels": {"team": "no label!"}}})
    record = ground.wait_for(attempt, State.FAILED)
    assert record.category == "rejected"
    assert "no label!" in record.reason
    assert ground.pods(attempt) == []


def test_a_namespace_that_does_not_exist_fails_with_its_name(ground: Field) -> None:
    attempt = ground.submit({"metadata": {"namespace": "hybrid-no-such-namespace"}})
    record = ground.wait_for(attempt, State.FAILED)
    assert "hybrid-no-such-namespace" in record.reason


def test_a_full_quota_is_waited_for_and_said_while_other_namespaces_go_on(ground: Field) -> None:
    with namespace_in(ground.cluster.settings) as other:
        other.limit(pods="1")
        other.create("fills")
        base = {"name": "base", "resources": UNSCHEDULABLE}
        waiting = ground.submit({"metadata": {"namespace": other.namespace}, "spec": {"containers": [base]}})
        until(lambda: "quota" in ground.record(waiting).note)
        going = ground.wait_for(ground.submit(), State.PENDING)
        assert going.namespace == ground.cluster.namespace
        other.unlimit()
        assert ground.wait_for(waiting, State.PENDING).namespace == other.namespace


def test_a_revoked_pod_is_deleted(ground: Field) -> None:
    attempt = ground.submit()
    ground.wait_for(attempt, State.PENDING)
    ground.store.attempts.revoke([attempt], reason="cleared")
    until(lambda: ground.pods(attempt) == [])
    assert ground.record(attempt).state is State.REVOKED


DOCUMENTED = {
    "image": "example.invalid/other:2",
    "request_memory": "1Gi",
    "request_cpu": "100000",
    "limit_memory": "2Gi",
    "labels": {"team": "ml"},
    "annotations": {"note": "n"},
    "env_vars": {"A": "1"},
    "secrets": [
        {"deploy_type": "env", "deploy_target": "KEY", "secret": "keys", "key": "one"},
        {"deploy_type": "volume", "deploy_target": "/keys", "secret": "keys", "key": "one"},
    ],
    "volumes": [{"name": "data", "emptyDir": {}}],
    "volume_mounts": [{"name": "data", "mount_path": "/data"}],
    "node_selector": {"disk": "fast"},
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]
            }
        }
    },
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
}


def test_the_documented_executor_config_is_what_the_api_takes_in_full(ground: Field) -> None:
    overrides = read_overrides({"KubernetesExecutor": DOCUMENTED})
    attempt = ground.submit(overrides.pod)
    ground.wait_for(attempt, State.PENDING)
    [pod] = ground.pods(attempt)
    spec, [base] = pod["spec"], pod["spec"]["containers"]
    assert (pod["metadata"]["labels"]["team"], pod["metadata"]["annotations"]["note"]) == ("ml", "n")
    assert base["image"] == "example.invalid/other:2"
    assert base["resources"]["requests"]["memory"] == "1Gi"
    assert base["resources"]["limits"]["memory"] == "2Gi"
    env = {item["name"]: item for item in base["env"]}
    assert env["A"]["value"] == "1"
    assert env["KEY"]["valueFrom"]["secretKeyRef"] == {"name": "keys", "key": "one"}
    mounts = {mount["mountPath"]: mount["name"] for mount in base["volumeMounts"]}
    assert mounts["/data"] == "data"
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes[mounts["/keys"]]["secret"]["secretName"] == "keys"
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert "disk" in json.dumps(spec["affinity"])
    assert "gpu" in [toleration.get("key") for toleration in spec["tolerations"]]
    ground.store.attempts.revoke([attempt], reason="seen")
    until(lambda: ground.pods(attempt) == [])
