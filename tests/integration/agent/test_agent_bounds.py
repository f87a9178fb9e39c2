"""An agent grows with the pods there are, not with the names that anybody has ever written."""

from __future__ import annotations

import threading
import time

from hybrid_executor.agent.main import Agent
from hybrid_executor.states import State
from tests.integration.agent.conftest import RunningAgent, World, wait_until


def watcher_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("watcher-")}


def leases(world: World) -> set[str]:
    return {str(key).rpartition("watch:default:")[2] for key in world.store.client.scan_iter("*lease:watch:*")}


def test_a_namespace_that_a_task_misspelt_gets_neither_a_watcher_nor_a_lease(world: World) -> None:
    world.start_agent()
    misspelt = [attempt for number in range(20) for attempt in world.submit(namespace=f"typo-{number}")]
    world.wait_for(State.FAILED, misspelt)
    assert watcher_threads() == {"watcher-default-default"}
    assert leases(world) == {"default"}


def test_a_namespace_without_pods_is_watched_no_longer_and_again_when_it_has_one(world: World) -> None:
    agent = Agent(
        settings=world.settings(),
        kubernetes_settings=world.kubernetes_settings(),
        name="agent-1",
        hook=None,
    )
    running = RunningAgent(agent)
    try:
        world.wait_for(State.SUCCEEDED, world.submit(namespace="other"))
        wait_until(lambda: world.watcher("other") == "agent-1")
        [cluster] = agent._clusters
        cluster.retire_watchers(now=time.monotonic() + 599)
        assert world.watcher("other") == "agent-1"
        cluster.retire_watchers(now=time.monotonic() + 3600)
        assert world.watcher("other") == ""
        assert world.watcher("default") == "agent-1"
        wait_until(lambda: watcher_threads() == {"watcher-default-default"})
        world.wait_for(State.SUCCEEDED, world.submit(namespace="other"))
        assert world.watcher("other") == "agent-1"
    finally:
        running.stop()


def test_a_launch_stream_that_is_a_list_is_told_once_and_pods_start_when_it_is_gone(world: World) -> None:
    world.store.client.rpush(world.store.keys.launch("default"), "no stream")
    world.start_agent()
    world.store.client.delete(world.store.keys.launch("default"))
    world.wait_for(State.SUCCEEDED, world.submit())


def test_launches_from_before_a_fail_over_wait_until_everybody_has_told_what_they_know(world: World) -> None:
    world.store.events.present()
    [before] = world.submit()
    # As after a fail-over: the epoch began on a server with another replication id.
    world.store.client.set(world.store.keys.home, "0" * 40)
    world.start_agent()
    world.wait_for(State.SUCCEEDED, world.submit())
    [record] = world.store.attempts.records([before])
    assert record is not None
    assert record.state is State.SUBMITTED
    assert 0 < int(str(world.store.client.ttl(world.store.keys.unsettled))) <= 15
    world.store.client.delete(world.store.keys.unsettled)
    world.wait_for(State.SUCCEEDED, [before])
