"""Launches that wait cost nothing to the others: other namespaces, and pods that ask for other things."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Record

from .conftest import World, wait_until

GPU = "nvidia.com/gpu"


def limit(world: World, namespace: str, hard: dict[str, str]) -> None:
    """Give a namespace a quota."""
    body = {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "q"}, "spec": {"hard": hard}}
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    world.kube.transport.call("POST", path, doing="create quota", body=body)


def gpu_pod(script: str, *, gpus: int) -> dict[str, Any]:
    resources = {"limits": {GPU: str(gpus)}}
    return {"spec": {"containers": [{"name": "base", "command": ["sh", "-c", script], "resources": resources}]}}


def blocking(world: World, *, gpus: int = 0, namespace: str = "") -> AttemptId:
    """Start a task that keeps its place until the file ``go`` is there."""
    script = f"while [ ! -e {world.directory}/go ]; do sleep 0.1; done"
    override = gpu_pod(script, gpus=gpus) if gpus else None
    [attempt] = world.submit(script, pod=override, namespace=namespace)
    world.wait_for(State.RUNNING, [attempt])
    return attempt


def let_go(world: World) -> None:
    (world.directory / "go").touch()


def test_small_pods_run_while_a_gpu_pod_of_their_namespace_waits_for_its_quota(world: World) -> None:
    limit(world, "default", {f"requests.{GPU}": "1"})
    world.start_agent()
    first = blocking(world, gpus=1)
    [second] = world.submit(pod=gpu_pod("exit 0", gpus=1))
    wait_until(lambda: "Waiting for quota: q" in world.record(second).note, what="the GPU pod to be refused")
    created, began = world.count("create"), time.monotonic()
    small = world.submit(count=30)
    world.wait_for(State.SUCCEEDED, small)
    assert world.record(second).state is State.LAUNCHING
    assert created() <= 30 + 5 + (time.monotonic() - began) / 5
    let_go(world)
    world.wait_for(State.SUCCEEDED, [first, second], seconds=40)


def test_a_pod_that_asks_for_more_than_the_quota_allows_to_all_is_rejected_at_once(world: World) -> None:
    limit(world, "default", {f"requests.{GPU}": "2"})
    created = world.count("create")
    world.start_agent()
    [record] = world.wait_for(State.FAILED, world.submit(pod=gpu_pod("exit 0", gpus=4)))
    assert record.category == "rejected"
    assert "more requests.nvidia.com/gpu than quota q allows" in record.reason
    assert "requested: requests.nvidia.com/gpu=4, used: requests.nvidia.com/gpu=0" in record.reason
    assert created() == 1


def test_three_thousand_that_wait_in_one_namespace_do_not_delay_the_pod_of_another(world: World) -> None:
    limit(world, "other", {"pods": "1"})
    world.start_agent(settings=world.settings(pod_creation_rate="100"))
    blocking(world, namespace="other")
    created = world.count("create", path="/namespaces/other/pods$")
    waiting = world.submit(count=3000, namespace="other")
    # All of them say what they wait for, and hardly any asks the cluster.
    wait_until(lambda: "Waiting for quota: q" in world.record(waiting[-1]).note, seconds=60, what="the last one's note")
    beside = world.submit(count=10)
    world.wait_for(State.SUCCEEDED, beside, seconds=60)
    assert created() <= 16 + 20, "those that wait would otherwise be tried before these"
    world.store.attempts.revoke(waiting, reason="cleared")
    wait_until(world.launch_stream_is_empty, seconds=40, what="launches that were revoked while they waited to go")
    let_go(world)


def test_thousands_that_wait_for_the_rate_in_one_namespace_let_another_have_its_turn(world: World) -> None:
    # Without its turn, it would come after all the others, which take minutes at this rate.
    world.start_agent(settings=world.settings(pod_creation_rate="4", starting_pods="1000"))
    created = world.count("create", path="/namespaces/default/pods$")
    many = world.submit(count=1500)
    [other] = world.submit(namespace="other")
    world.wait_for(State.SUCCEEDED, [other])
    assert created() < len(many)
    world.store.attempts.revoke(many, reason="cleared")


def test_what_waits_goes_on_with_another_agent_when_its_own_dies(world: World) -> None:
    limit(world, "other", {"pods": "5"})
    taken = world.submit("sleep 600", count=5, namespace="other")
    agent = world.start_agent("agent-1")
    world.wait_for(State.RUNNING, taken)
    waiting = world.submit(count=40, namespace="other")
    wait_until(lambda: "Waiting for quota" in world.record(waiting[-1]).note, what="all to wait")
    agent.stop()
    world.start_agent("agent-2")
    world.store.attempts.revoke(taken, reason="cleared")
    world.wait_for(State.SUCCEEDED, waiting, seconds=60)


def test_a_few_pods_do_not_wait_for_a_hundred_times_as_many_of_another_queue(world: World) -> None:
    big = world.submit(count=2000, queue="big")
    world.start_agent(settings=world.settings(pod_creation_rate="20", starting_pods="50"))
    wait_until(lambda: any(record.launching_at for record in world.records(big[:64])), what="the first pod")
    small = world.submit(count=20, queue="small")
    records = world.wait_for(State.SUCCEEDED, small, seconds=40)
    first, last = records[0].submitted_at, max(record.launching_at for record in records)
    between = [record for record in world.records(big) if first < record.launching_at < last]
    assert len(between) <= 20 + 64, "one for each of theirs, and one batch that was read before they came"
    world.store.attempts.revoke(big, reason="the test has ended")
    wait_until(world.launch_stream_is_empty, seconds=40, what="launches that were revoked while they waited to go")


def test_queues_get_pods_by_their_shares(world: World) -> None:
    etl, reports = world.submit(count=200, queue="etl"), world.submit(count=200, queue="reports")
    world.start_agent(settings=world.settings(pod_creation_rate="12", starting_pods="50", fair_share="reports=3"))

    def launched() -> list[Record]:
        return [record for record in world.records(etl + reports) if record.launching_at]

    wait_until(lambda: len(launched()) >= 72, seconds=60, what="72 pods")
    # The first ones are created before anything has to wait; then the queue that came later catches up.
    scarce = sorted(launched(), key=lambda record: record.launching_at)[40:72]
    assert 21 <= Counter(record.queue for record in scarce)["reports"] <= 27
    world.store.attempts.revoke(etl + reports, reason="the test has ended")
    wait_until(world.launch_stream_is_empty, seconds=40, what="launches that were revoked while they waited to go")
