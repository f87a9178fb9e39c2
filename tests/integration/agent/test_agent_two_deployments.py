"""Two deployments that share instance name and namespace, each with a Redis of its own; and a Redis that loses data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.agent.identity import PodIdentity
from hybrid_executor.agent.ownership import Ownership
from hybrid_executor.complaints import Complaints
from hybrid_executor.events import AttemptId
from hybrid_executor.insight.overview import read_overview
from hybrid_executor.kube.names import LABEL_REDIS
from hybrid_executor.states import State
from hybrid_executor.store import RedisSettings, Store, open_store
from tests.integration.agent.conftest import INSTANCE, World, wait_until

POD = PodIdentity(attempt=AttemptId("a"), launch=0, generation=1, namespace="default", name="pod", uid="u", version="1")


@dataclass(frozen=True)
class Seen:
    identity: PodIdentity


@pytest.fixture
def other(world: World, tmp_path: Path) -> Iterator[World]:
    """Another deployment's view of the same cluster; its Redis is another database."""
    other = World.__new__(World)
    other.__dict__.update(world.__dict__)
    other.redis_url = world.redis_url.removesuffix("/0") + "/1"
    other.store = open_store(RedisSettings(url=other.redis_url), instance=INSTANCE)
    other._agents = []
    yield other
    other.stop_agents()
    other.store.close()


def has_listed(world: World, *, times: int = 1) -> Any:
    """Return a predicate: pods were listed so often from now on."""
    lists = world.count("list")
    return lambda: lists() >= times


def test_pods_of_another_deployment_are_not_touched_and_the_clash_is_told_once(
    world: World, other: World, caplog: pytest.LogCaptureFixture
) -> None:
    its_agent = other.start_agent("its-agent")
    release = world.directory / "release"
    script = f"while [ ! -e {release} ]; do sleep 0.05; done; exit"
    its_attempts = [*other.submit(f"{script} 0"), *other.submit(f"{script} 3")]
    other.wait_for(State.RUNNING, its_attempts)
    its_agent.stop()
    names = world.pod_names()
    assert len(names) == 2

    watched = has_listed(world, times=2)
    world.start_agent("our-agent", settings=world.settings(relist_seconds=0.5))
    wait_until(watched)
    release.touch()
    wait_until(lambda: all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in world.pods()))
    wait_until(has_listed(world, times=3))
    assert world.pod_names() == names
    assert not any("deletionTimestamp" in pod["metadata"] for pod in world.pods())
    assert not any("airflow_executor_done" in pod["metadata"]["labels"] for pod in world.pods())
    assert list(world.store.attempts.live("kubernetes")) == []
    told = [text for text in caplog.messages if "Pods of another deployment" in text]
    assert told == [
        "Pods of another deployment are in namespace default of cluster default: it has another Redis and the same "
        "[hybrid_executor] instance = airflow. This agent leaves them alone. Give each deployment its own instance."
    ]

    def clashes() -> list[str]:
        problems = read_overview(world.store, world.settings()).problems
        return [problem.what for problem in problems if "another deployment" in problem.what]

    [words] = wait_until(clashes)
    assert "namespace default of cluster default has pods of another deployment" in words

    # Its own agent finds them as they were, and our pods are made and deleted beside them.
    world.wait_for(State.SUCCEEDED, world.submit())
    other.start_agent("its-agent-2")
    other.wait_for(State.SUCCEEDED, its_attempts[:1])
    [failed] = other.wait_for(State.FAILED, its_attempts[1:])
    assert "exit code 3" in failed.reason


@pytest.mark.usefixtures("soon_unexpected")
def test_pods_stay_ours_when_redis_loses_its_data(world: World, caplog: pytest.LogCaptureFixture) -> None:
    release = world.directory / "release"
    world.start_agent("agent-1")
    [kept, forgotten] = world.submit(f"while [ ! -e {release} ]; do sleep 0.05; done", count=2)
    world.wait_for(State.RUNNING, [kept, forgotten])
    record = world.record(kept)
    ids = {pod["metadata"]["labels"][LABEL_REDIS] for pod in world.pods()}
    flush(world.store)
    wait_until(lambda: world.store.identity.read() == ids, what="the agent to write the id again")
    world.restore(record)
    release.touch()
    world.wait_for(State.SUCCEEDED, [kept])
    # Nobody has the other one's record any more; it is deleted since it is ours.
    wait_until(lambda: not world.pods())
    assert "another deployment" not in caplog.text


@pytest.mark.usefixtures("soon_unexpected")
def test_an_agent_that_came_after_the_loss_of_data_learns_which_pods_are_ours(world: World) -> None:
    first = world.start_agent("agent-1")
    release = world.directory / "release"
    attempts = world.submit(f"while [ ! -e {release} ]; do sleep 0.05; done")
    world.wait_for(State.RUNNING, attempts)
    [old] = world.store.identity.read()
    flush(world.store)
    world.store.identity.share(["made-anew"])
    world.start_agent("agent-2", is_watching=False)
    wait_until(lambda: world.store.identity.read() == {old, "made-anew"})
    first.stop()
    release.touch()
    wait_until(lambda: not world.pods(), what="the second agent to delete the pod that has no record")


def test_a_pod_whose_record_we_have_is_ours_whatever_it_says(world: World) -> None:
    agent = world.start_agent()
    release = world.directory / "release"
    attempts = world.submit(f"while [ ! -e {release} ]; do sleep 0.05; done")
    [record] = world.wait_for(State.RUNNING, attempts)
    agent.stop()
    world.kube.patch_pod("default", record.pod, {"metadata": {"labels": {LABEL_REDIS: "nobody-remembers"}}})
    world.start_agent("agent-2")
    release.touch()
    world.wait_for(State.SUCCEEDED, attempts)
    wait_until(lambda: not world.pods())


def flush(store: Store) -> None:
    """Let one deployment's Redis lose all its data."""
    client: Any = store.client
    client.flushdb()


def test_an_agent_asks_at_once_whether_a_pod_that_it_does_not_know_is_ours(redis_url: str) -> None:
    store = open_store(RedisSettings(url=redis_url), instance=INSTANCE)
    agents = [
        Ownership(store.identity, attempts=store.attempts, complaints=Complaints(), instance=INSTANCE) for _ in range(2)
    ]
    first, second = agents
    first.check()
    old = first.id
    flush(store)
    second.check()
    first.check()
    assert second.id not in ("", old)
    pods = [Seen(replace(POD, redis_id=redis_id)) for redis_id in (old, second.id, "of-another-deployment")]
    assert second.own(pods, place="here") == pods[:2]
    assert set(second.clashes) == {"here"}
    store.close()
