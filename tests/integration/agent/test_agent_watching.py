"""What a watcher makes of cut, stale, doubled and missing news, and of pods that come to grief."""

from __future__ import annotations

import time
from dataclasses import replace

import redis

from hybrid_executor.events import AttemptId
from hybrid_executor.kube.names import LABEL_DONE
from hybrid_executor.states import State
from hybrid_executor.store import Record

from .conftest import World, wait_until

GREEDY = {"spec": {"containers": [{"name": "base", "resources": {"requests": {"cpu": "100000"}}}]}}
"""A pod that no node has room for."""


def running(world: World, script: str = "sleep 30") -> Record:
    [attempt] = world.submit(script)
    [record] = world.wait_for(State.RUNNING, [attempt])
    return record


def test_a_cut_watch_goes_on_where_it_was(world: World) -> None:
    world.start_agent()
    listed = world.count("list")
    record = running(world, world.held)
    assert world.sandbox.faults.cut_watches() == 1
    world.let_end()
    world.wait_for(State.SUCCEEDED, [record.id])
    assert listed() == 0


def test_a_version_that_is_too_old_is_not_asked_for_again(world: World) -> None:
    world.start_agent()
    listed, watched = world.count("list"), world.count("watch")
    record = running(world, world.held)
    world.sandbox.faults.fail(410, verb="watch", times=1)
    world.sandbox.faults.cut_watches()
    world.let_end()
    world.wait_for(State.SUCCEEDED, [record.id])
    wait_until(lambda: watched() == 2, what="the watch to be open again")
    assert listed() == 1


def test_a_version_that_turns_out_too_old_inside_the_stream_begins_with_a_list(world: World) -> None:
    world.start_agent()
    listed = world.count("list")
    record = running(world, world.held)
    world.sandbox.faults.fail(410, verb="watch", times=1, as_event=True)
    world.sandbox.faults.cut_watches()
    world.let_end()
    world.wait_for(State.SUCCEEDED, [record.id])
    assert listed() == 1


def test_history_that_the_server_has_forgotten_is_made_up_for_by_a_list(world: World) -> None:
    world.start_agent()
    record = running(world, world.held)
    world.sandbox.faults.slow(1.5, verb="watch", times=1)
    world.sandbox.faults.cut_watches()
    world.let_end()
    wait_until(lambda: world.kube.get_pod("default", record.pod)["status"]["phase"] == "Succeeded")
    world.sandbox.faults.compact()
    world.wait_for(State.SUCCEEDED, [record.id])


def test_doubled_and_replayed_events_change_nothing(world: World) -> None:
    world.start_agent()
    world.sandbox.faults.duplicate_events(3)
    attempts = world.submit("exit 0", count=5)
    world.wait_for(State.SUCCEEDED, attempts)
    wait_until(lambda: not world.pods(), what="no pod left")
    before = [world.states(attempt) for attempt in attempts]
    world.sandbox.faults.replay_events(50)
    [last] = world.submit("exit 0")
    world.wait_for(State.SUCCEEDED, [last])
    assert [world.states(attempt) for attempt in attempts] == before
    assert [states.count("succeeded") for states in before] == [1] * 5


def test_a_server_that_cuts_every_watch_is_asked_ever_more_slowly(world: World) -> None:
    watched = world.count("watch")
    world.sandbox.faults.drop(verb="watch", times=None)
    began = time.monotonic()
    world.start_agent(is_watching=False)
    wait_until(lambda: watched() >= 4)
    # Pauses of at least 0.1, 0.2 and 0.4 s lie between four tries.
    assert time.monotonic() - began >= 0.7
    world.sandbox.faults.clear()
    world.wait_for(State.SUCCEEDED, world.submit())


def test_an_api_server_that_restarts_is_waited_for(world: World) -> None:
    world.start_agent()
    record = running(world, world.held)
    world.sandbox.faults.restart(down_seconds=1.5)
    world.let_end()
    world.wait_for(State.SUCCEEDED, [record.id])
    world.wait_for(State.SUCCEEDED, world.submit())


def test_the_right_to_delete_is_asked_about_slowly_while_it_is_missing(world: World) -> None:
    denied = world.sandbox.faults.fail(403, verb="delete", times=None, reason="Forbidden", message="cannot delete")
    world.start_agent()
    world.wait_for(State.SUCCEEDED, world.submit("exit 0", count=20))
    [last] = world.submit("sleep 1")
    world.wait_for(State.SUCCEEDED, [last])
    # Four threads may be asking when the first answer comes.
    assert 1 <= world.sandbox.faults.hits(denied) <= 4
    assert len(world.pods()) == 21


def test_a_pod_deleted_before_its_task_started_is_launched_again(world: World) -> None:
    world.start_agent()
    [attempt] = world.submit(pod=GREEDY)
    [record] = world.wait_for(State.PENDING, [attempt])
    world.kube.delete_pod("default", record.pod, grace_period_seconds=0)
    again = wait_until(lambda: world.record(attempt).launches == 1 and world.record(attempt))
    wait_until(lambda: world.record(attempt).state is State.PENDING)
    assert world.pod_names() == {world.record(attempt).pod} != {record.pod}
    assert again.generation == 2
    # The second one is the last: one is what pod_launch_failure_retries allows.
    world.kube.delete_pod("default", world.record(attempt).pod, grace_period_seconds=0)
    [failed] = world.wait_for(State.FAILED, [attempt])
    assert failed.category == "deleted_before_start"


def test_a_missing_image_fails_at_once_with_its_name_and_leaves_no_pod(world: World) -> None:
    world.start_agent()
    missing = {"spec": {"containers": [{"name": "base", "image": "missing.invalid/x:1"}]}}
    [record] = world.wait_for(State.FAILED, world.submit(pod=missing))
    assert record.category == "image_pull"
    assert "missing.invalid/x:1" in record.reason
    assert record.launches == 0
    wait_until(lambda: not world.pods(), what="a pod that could still start to be deleted")


def test_the_owner_decides_about_a_task_that_was_killed_for_its_memory(world: World) -> None:
    world.start_agent()
    record = running(world)
    world.sandbox.faults.oom_kill(record.pod)
    [lost] = world.wait_for(State.LOST, [record.id])
    assert lost.category == "oom_killed"
    assert "memory" in lost.reason
    wait_until(lambda: [pod for pod in world.pods() if LABEL_DONE in pod["metadata"]["labels"]])


def test_the_owner_decides_about_a_task_whose_pod_was_evicted(world: World) -> None:
    world.start_agent()
    record = running(world)
    world.sandbox.faults.evict(record.pod, message="The node was low on resource: memory.")
    [lost] = world.wait_for(State.LOST, [record.id])
    assert lost.category == "evicted"
    assert "low on resource: memory" in lost.reason


def test_tasks_of_a_lost_node_are_lost_with_its_name(world: World) -> None:
    world.start_agent()
    record = running(world)
    world.sandbox.faults.lose_node()
    [lost] = world.wait_for(State.LOST, [record.id])
    assert "sandbox-node" in lost.reason
    world.sandbox.faults.recover_node()


def test_without_launches_left_a_killed_task_fails(world: World) -> None:
    world.start_agent(kubernetes={"pod_launch_failure_retries": "0"})
    record = running(world)
    world.sandbox.faults.oom_kill(record.pod)
    [failed] = world.wait_for(State.FAILED, [record.id])
    assert failed.category == "oom_killed"


def test_a_pod_that_finds_no_node_says_what_is_missing(world: World) -> None:
    world.start_agent()
    [attempt] = world.submit(pod=GREEDY)
    note = wait_until(lambda: world.record(attempt).note)
    assert "Insufficient cpu" in note
    assert world.record(attempt).state is State.PENDING


def test_a_pod_deleted_while_nobody_watched_is_lost(world: World) -> None:
    agent = world.start_agent()
    record = running(world)
    agent.stop()
    world.kube.delete_pod("default", record.pod, grace_period_seconds=0)
    world.store.version("default", "default").clear()
    world.start_agent("agent-2")
    # It fails where its end was still seen, and is lost where it was gone before: then its owner decides.
    wait_until(lambda: world.record(record.id).state in (State.FAILED, State.LOST), what="its end to be recorded")
    assert world.record(record.id).category in ("deleted", "vanished")


def test_a_pod_finished_while_nobody_watched_is_taken_in(world: World) -> None:
    agent = world.start_agent()
    record = running(world, world.held)
    agent.stop()
    world.let_end()
    wait_until(lambda: world.kube.get_pod("default", record.pod)["status"]["phase"] == "Succeeded")
    world.start_agent("agent-2")
    world.wait_for(State.SUCCEEDED, [record.id])
    wait_until(lambda: not world.pods(), what="no pod left")


def test_a_pod_that_lost_its_labels_is_looked_at_before_it_is_taken_for_gone(world: World) -> None:
    world.start_agent(settings=world.settings(relist_seconds=1.0))
    record = running(world, world.held)
    world.kube.patch_pod("default", record.pod, {"metadata": {"labels": {"hybrid-executor/instance": None}}})
    listed = world.count("list")
    wait_until(lambda: listed() >= 2, what="a list that does not show the pod")
    world.let_end()
    world.wait_for(State.SUCCEEDED, [record.id])
    assert "lost" not in world.states(record.id)


def test_a_pod_that_lost_its_labels_and_cannot_be_asked_for_is_not_taken_for_gone(world: World) -> None:
    world.start_agent(settings=world.settings(relist_seconds=1.0))
    record = running(world, world.held)
    asked = world.sandbox.faults.fail(500, verb="get", path=f"/pods/{record.pod}$", times=2)
    world.kube.patch_pod("default", record.pod, {"metadata": {"labels": {"hybrid-executor/instance": None}}})
    wait_until(lambda: world.sandbox.faults.hits(asked) == 2, what="the pod to be asked for")
    world.let_end()
    world.wait_for(State.SUCCEEDED, [record.id])
    assert "lost" not in world.states(record.id)


def test_a_pod_left_behind_by_an_older_launch_is_deleted(world: World) -> None:
    agent = world.start_agent()
    record = running(world)
    agent.stop()
    # The owner has submitted it anew in the meantime.
    world.store.client.hset(world.store.keys.attempt(record.id), mapping={"generation": 7, "launches": 6})
    world.store.version("default", "default").clear()
    world.start_agent("agent-2")
    wait_until(lambda: not world.pods(), what="the old pod to be deleted")
    assert world.record(record.id).generation == 7
    assert world.record(record.id).state is State.RUNNING


def test_pods_that_run_without_a_record_are_left_alone_until_it_is_written_again(world: World, redis_url: str) -> None:
    world.start_agent()
    record = running(world, world.held)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    listed = world.count("list")
    wait_until(lambda: listed() >= 1, what="the loss to be noticed")
    assert world.pod_names() == {record.pod}
    world.restore(record)
    world.let_end()
    world.wait_for(State.SUCCEEDED, [record.id])
    wait_until(lambda: not world.pods(), what="no pod left")


def test_an_end_that_no_record_could_take_counts_when_the_record_is_written_again(world: World, redis_url: str) -> None:
    world.start_agent()
    record = running(world, world.held)
    listed = world.count("list")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    world.let_end()
    wait_until(lambda: phase(world, record) == "Succeeded", what="the pod to end")
    wait_until(lambda: listed() >= 1, what="the loss to be noticed")
    assert world.pod_names() == {record.pod}
    world.restore(replace(record, state=State.LAUNCHING))
    world.wait_for(State.SUCCEEDED, [record.id])
    wait_until(lambda: not world.pods(), what="no pod left")


def test_a_pod_that_vanished_while_it_had_no_record_is_not_waited_for(world: World, redis_url: str) -> None:
    world.start_agent()
    record = running(world, "sleep 60")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    world.kube.delete_pod(record.namespace, record.pod)
    wait_until(lambda: not world.pods(), what="no pod left")
    world.restore(replace(record, state=State.LAUNCHING))
    # It fails where its end was still seen, and is lost where it was gone before: then its owner decides.
    wait_until(lambda: world.record(record.id).state in (State.FAILED, State.LOST), what="its end to be recorded")
    assert world.record(record.id).category in ("deleted", "vanished")


def test_pods_start_again_after_redis_has_lost_the_launches_that_an_agent_held(world: World, redis_url: str) -> None:
    world.start_agent()
    rule = world.sandbox.faults.fail(500, times=None)
    world.submit(count=3)
    wait_until(lambda: world.sandbox.faults.hits(rule) >= 3, what="the agent holds launches")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    world.sandbox.faults.remove(rule)
    world.wait_for(State.SUCCEEDED, world.submit())


def phase(world: World, record: Record) -> str:
    return str(world.kube.get_pod(record.namespace, record.pod)["status"]["phase"])


def test_no_task_is_lost_or_run_twice_while_the_watch_is_cut_again_and_again(world: World) -> None:
    world.start_agent(settings=world.settings(relist_seconds=5.0))
    ran = world.directory / "ran"
    attempts = world.submit(f"echo ran >> {ran}", count=150)

    def done() -> bool:
        world.sandbox.faults.cut_watches()
        return all(record.state is State.SUCCEEDED for record in records(world, attempts))

    wait_until(done, seconds=60, what="all tasks to succeed")
    wait_until(lambda: not world.pods(), seconds=20, what="no pod left")
    assert len(ran.read_text().splitlines()) == 150
    assert all(world.states(attempt).count("succeeded") == 1 for attempt in attempts[:50])
    assert {record.launches for record in records(world, attempts)} == {0}


def records(world: World, attempts: list[AttemptId]) -> list[Record]:
    return [record for record in world.store.attempts.records(attempts) if record is not None]
