"""What a team writes into its own Redis does not reach the pods of another team, even with one account for both."""

from __future__ import annotations

import copy
import json

import pytest

from hybrid_executor.agent.identity import ANNOTATION_GENERATION
from hybrid_executor.agent.launch.entries import Claimed, Dropped, Launch
from hybrid_executor.config import DictConfig
from hybrid_executor.events import STREAM_START, AttemptId
from hybrid_executor.executor.logs import PodLogs
from hybrid_executor.kube.awaiting_pod import AWAITED, LABEL_WORKLOAD
from hybrid_executor.kube.names import (
    ANNOTATION_ATTEMPT,
    LABEL_ATTEMPT,
    LABEL_INSTANCE,
    LABEL_LAUNCH,
    pod_name,
)
from hybrid_executor.states import State
from hybrid_executor.store import LaunchEntry
from tests.integration.agent.conftest import World
from tests.integration.agent.test_warm_crash_points import DyingAgent
from tests.integration.agent.warm_world import WarmWorld
from tests.integration.conftest import as_task_instance, make_task
from tests.waiting import wait_until

VICTIM = "pod-of-blue"


def create_victim(
    world: World,
    *,
    attempt: str = "a-of-blue",
    name: str = VICTIM,
    command: str = "sleep 1000",
    cpu: str = "1m",
    **labels: str,
) -> None:
    """Create a pod of another team, which says that it belongs to an attempt."""
    container = {
        "name": "base",
        "image": "i",
        "command": ["sh", "-c", command],
        "resources": {"requests": {"cpu": cpu}},
    }
    pod = {
        "metadata": {
            "name": name,
            "labels": {
                LABEL_INSTANCE: "airflow-blue",
                LABEL_ATTEMPT: attempt,
                LABEL_LAUNCH: "0",
                **{key.replace("__", "/"): value for key, value in labels.items()},
            },
            "annotations": {ANNOTATION_ATTEMPT: attempt, ANNOTATION_GENERATION: "1"},
        },
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    world.kube.create_pod("default", pod)


def order(world: World, op: str, attempt: str, *, pod: str = VICTIM) -> None:
    """Write an order into the team's own launch stream, as its workers can."""
    entry = {"op": op, "attempt": attempt, "generation": "1", "namespace": "default", "pod": pod}
    world.store.client.xadd(world.store.keys.launch("default"), entry)


def as_it_was(world: World, name: str = VICTIM) -> bool:
    metadata = world.kube.get_pod("default", name)["metadata"]
    return "deletionTimestamp" not in metadata and "airflow_executor_done" not in metadata["labels"]


@pytest.mark.parametrize(("op", "cpu"), [("delete", "1m"), ("withdraw", "9999")])
def test_an_order_to_remove_the_pod_of_another_team_is_not_followed(world: World, op: str, cpu: str) -> None:
    create_victim(world, cpu=cpu)
    world.start_agent()
    order(world, op, "a-of-blue")
    wait_until(world.launch_stream_is_empty, what="the order to be looked at")
    assert as_it_was(world)
    [own] = world.submit("sleep 1000")
    [record] = world.wait_for(State.RUNNING, [own])
    order(world, "delete", own, pod=record.pod)
    wait_until(lambda: record.pod not in world.pod_names(), what="a pod of its own to be deleted")


def test_a_workload_is_not_handed_over_to_the_pod_of_another_team(world: World) -> None:
    own = WarmWorld(world, idle=0)
    own.options = {"pod_token": "stdin", "routes": "*=kubernetes:plain"}
    [attempt] = own.submit(profile="plain")
    record, payload, _ = world.store.attempts.workload(attempt)
    assert record is not None
    create_victim(
        world,
        attempt=attempt,
        command="echo 'hybrid-executor: ready'; read -r line; echo got $line; sleep 1000",
        **{LABEL_WORKLOAD.replace("/", "__"): AWAITED},
    )
    wait_until(lambda: world.kube.get_pod("default", VICTIM)["status"]["phase"] == "Running")
    before = copy.deepcopy(world.kube.get_pod("default", VICTIM)["metadata"])
    entry = LaunchEntry(id=STREAM_START, op="launch", attempt=attempt, generation=record.generation)
    claimed = Claimed(Launch(entry), record, f"default/{VICTIM}", payload, is_new=False, is_warm=False)
    assert isinstance(DyingAgent(own, after="nothing").hand_over.run(claimed), Dropped)
    assert world.kube.get_pod("default", VICTIM)["metadata"] == before
    assert "token-of" not in world.kube.read_pod_log("default", VICTIM, container="base", tail_lines=9)


def test_a_pod_of_another_team_that_has_the_name_of_a_launch_is_not_taken_for_it(world: World) -> None:
    [attempt] = world.submit()
    name = pod_name("dag", "task", attempt)
    create_victim(world, attempt=attempt, name=name)
    world.start_agent()
    [record] = world.wait_for(State.SUCCEEDED, [attempt])
    assert record.pod != name
    assert world.kube.get_pod("default", name)["metadata"]["annotations"][ANNOTATION_GENERATION] == "1"
    assert as_it_was(world, name)


def test_the_log_of_another_teams_pod_is_not_shown(world: World, airflow_db: None) -> None:
    workload = make_task("task", queue="q", dag_id="dag", attempt=(attempt := world.submit("sleep 1000")[0]))
    options = {"redis_url": world.redis_url, "routes": "*=kubernetes"}
    cluster = {"in_cluster": "False", "config_file": str(world.kubeconfig)}
    conf = DictConfig({"hybrid_executor": options, "kubernetes_executor": cluster})
    logs = PodLogs(world.settings(), conf)
    ti = as_task_instance(workload)
    ti.external_executor_id = attempt
    create_victim(world, attempt=attempt, command="echo a secret of blue; sleep 1000")
    wait_until(lambda: world.kube.get_pod("default", VICTIM)["status"]["phase"] == "Running")
    wait_until(lambda: "secret" in world.kube.read_pod_log("default", VICTIM, container="base", tail_lines=9))
    point_to(world, attempt, VICTIM)
    messages, lines = logs.read(ti, 1)
    assert "a secret of blue" not in json.dumps([messages, lines])
    assert "belongs to another team" in messages[0]
    create_victim(world, attempt=attempt, name="warm-1", command="echo its own; sleep 1000")
    world.kube.patch_pod("default", "warm-1", {"metadata": {"labels": {LABEL_INSTANCE: "airflow"}}})
    point_to(world, attempt, "warm-1")
    wait_until(lambda: logs.read(ti, 1)[1] == ["its own"], what="the log of a warm pod of its own")


def point_to(world: World, attempt: AttemptId, pod: str) -> None:
    fields = {"pod": pod, "namespace": "default", "state": "running"}
    world.store.client.hset(world.store.keys.attempt(attempt), mapping=fields)
