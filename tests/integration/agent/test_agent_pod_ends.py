"""What the record says of a pod that failed, and what becomes of the pod: real processes, reported as by a kubelet."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.errors import KubeError
from hybrid_executor.kube.names import LABEL_DONE
from hybrid_executor.states import State
from tests.faulty_sandbox import Fault

from .conftest import World, wait_until

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ0YXNrIn0.c2lnbmF0dXJl"
NO_RELAUNCH = {"pod_launch_failure_retries": "0"}


def spec_of(*containers: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {
        "spec": {
            "containers": [
                {"name": name, "image": "task:1", "command": ["sh", "-c", script]} for name, script in containers
            ],
            **more,
        }
    }


def kept_pod(world: World) -> dict[str, Any]:
    """Return the one pod there is, once it is marked as done with."""

    def marked() -> list[dict[str, Any]]:
        return [pod for pod in world.pods() if LABEL_DONE in pod["metadata"]["labels"]]

    [pod] = wait_until(marked, what="a pod that is kept")
    assert len(world.pods()) == 1
    return pod


def test_a_failed_pod_is_kept_and_its_last_lines_are_in_the_reason(world: World) -> None:
    world.start_agent()
    script = f"for i in $(seq 30); do echo line $i; done; echo token {JWT}; echo no such table; exit 3"
    attempts = world.submit(script)
    [record] = world.wait_for(State.FAILED, attempts)
    assert record.category == "exit_nonzero"
    words, *lines = record.reason.splitlines()
    assert words == "The pod failed (container base, exit code 3, node sandbox-node)."
    assert lines[0] == "Last lines of container base:"
    assert lines[1:] == [*(f"line {number}" for number in range(23, 31)), "token <hidden>", "no such table"]
    assert kept_pod(world)["status"]["phase"] == "Failed"


def test_an_init_container_that_fails_tells_its_last_lines(world: World) -> None:
    world.start_agent(kubernetes=NO_RELAUNCH)
    fetch = {"name": "fetch", "image": "task:1", "command": ["sh", "-c", "echo repository not found; exit 2"]}
    attempts = world.submit(pod=spec_of(("base", "exit 0"), initContainers=[fetch]))
    [record] = world.wait_for(State.FAILED, attempts)
    assert record.category == "init_failed"
    assert record.reason.endswith("Last lines of container fetch:\nrepository not found")


def test_a_pod_that_is_to_be_deleted_on_failure_is_read_first(world: World) -> None:
    world.start_agent(kubernetes={"delete_worker_pods_on_failure": "True"})
    [record] = world.wait_for(State.FAILED, world.submit("echo too late otherwise; exit 1"))
    assert record.reason.endswith("too late otherwise")
    wait_until(lambda: world.pods() == [])


def test_a_single_line_of_3_megabytes_leaves_a_short_reason(world: World) -> None:
    world.start_agent()
    script = "echo begins; head -c 3000000 /dev/zero | tr '\\0' x; exit 1"
    [record] = world.wait_for(State.FAILED, world.submit(script), seconds=60)
    assert 1_000 < len(record.reason) < 3_000
    pod = kept_pod(world)["metadata"]["name"]
    read = world.kube.read_pod_log("default", pod, container="base", tail_lines=100, most_bytes=5_000)
    assert read == "x" * 5_000


def test_the_last_lines_that_fit_are_read_where_not_all_do(world: World) -> None:
    world.start_agent()
    script = "for i in $(seq 20); do head -c 999 /dev/zero | tr '\\0' x; echo; done; echo last; exit 1"
    world.wait_for(State.FAILED, world.submit(script))
    pod = kept_pod(world)["metadata"]["name"]
    lines = world.kube.read_pod_log("default", pod, container="base", tail_lines=16, most_bytes=5_000).splitlines()
    assert [len(line) for line in lines] == [999, 999, 999, 4]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", path="/log$", code=500),
        Fault("drop", path="/log$"),
        Fault("slow", path="/log$", delay_seconds=60),
    ],
    ids=lambda fault: fault.action,
)
def test_a_log_that_cannot_be_read_does_not_keep_the_verdict(world: World, fault: Fault) -> None:
    world.start_agent()
    world.sandbox.faults.add(fault)
    failed = world.submit("echo lost words; exit 3")
    world.wait_for(State.SUCCEEDED, world.submit("exit 0"))
    [record] = world.wait_for(State.FAILED, failed)
    assert record.reason == "The pod failed (container base, exit code 3, node sandbox-node)."
    assert kept_pod(world)["status"]["phase"] == "Failed"


def test_an_eviction_is_told_with_the_nodes_words_and_the_pod_is_kept(world: World) -> None:
    world.start_agent(kubernetes=NO_RELAUNCH)
    attempts = world.submit("sleep 600")
    [record] = world.wait_for(State.RUNNING, attempts)
    world.sandbox.faults.evict(record.pod, message="The node was low on resource: memory.")
    [record] = world.wait_for(State.FAILED, attempts)
    assert record.category == "evicted"
    assert record.reason.startswith("The pod was evicted from its node (container base, Evicted, exit code")
    assert record.reason.endswith(": The node was low on resource: memory.")
    assert kept_pod(world)["status"]["reason"] == "Evicted"


def test_a_deletion_that_ends_with_exit_code_0_is_a_deletion(world: World) -> None:
    world.start_agent(kubernetes=NO_RELAUNCH)
    attempts = world.submit("trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done")
    [record] = world.wait_for(State.RUNNING, attempts)
    wait_until(lambda: log_of(world, record.pod) == "up\n")
    world.kube.delete_pod("default", record.pod, grace_period_seconds=20)
    [record] = world.wait_for(State.FAILED, attempts)
    assert (record.category, record.exit_code) == ("deleted", "0")
    assert record.reason.startswith("The pod was deleted while its task ran (container base, exit code 0")


def test_a_pod_that_is_deleted_while_its_image_is_missing_was_not_lost_with_its_node(world: World) -> None:
    patient = {"worker_pod_pending_fatal_container_state_reasons": "InvalidImageName"}
    world.start_agent(kubernetes={**NO_RELAUNCH, **patient})
    attempts = world.submit(pod={"spec": {"containers": [{"name": "base", "image": "x:does-not-exist"}]}})
    wait_until(lambda: "ErrImagePull" in world.record(attempts[0]).note)
    world.kube.delete_pod("default", world.record(attempts[0]).pod, grace_period_seconds=20)
    [record] = world.wait_for(State.FAILED, attempts)
    assert record.category == "deleted_before_start"
    assert record.reason.startswith("The pod was deleted before its task started")


def log_of(world: World, pod: str) -> str:
    try:
        return world.kube.read_pod_log("default", pod, container="base", tail_lines=5)
    except KubeError:
        return ""


def test_a_kept_pod_whose_sidecar_goes_on_frees_its_slot_and_is_ended(world: World) -> None:
    world.start_agent(kubernetes={"delete_worker_pods": "False"})
    attempts = world.submit(pod=spec_of(("base", "echo done"), ("mesh", "sleep 600")))
    world.wait_for(State.SUCCEEDED, attempts)
    pod = kept_pod(world)
    ended = wait_until(lambda: world.kube.get_pod("default", pod["metadata"]["name"])["status"]["phase"] == "Failed")
    assert ended
    mesh = world.kube.get_pod("default", pod["metadata"]["name"])["status"]["containerStatuses"][1]
    assert "terminated" in mesh["state"]


def test_another_agent_decides_about_a_pod_whose_end_the_first_one_did_not_report(world: World) -> None:
    first = world.start_agent("agent-1")
    attempts = world.submit(pod=spec_of(("base", "echo done"), ("mesh", "sleep 600")))
    wait_until(lambda: any(base_has_ended(pod) for pod in world.pods()))
    first.stop()
    assert world.record(attempts[0]).state in (State.PENDING, State.RUNNING)
    world.start_agent("agent-2")
    world.wait_for(State.SUCCEEDED, attempts)


def base_has_ended(pod: dict[str, Any]) -> bool:
    statuses = pod["status"].get("containerStatuses", [])
    return any(entry["name"] == "base" and "terminated" in entry["state"] for entry in statuses)
