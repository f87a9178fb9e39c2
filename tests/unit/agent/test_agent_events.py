"""Events taken in by the batch, on a store that is real but for its server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import fakeredis
import pytest

from hybrid_executor.agent.delayed_pool import DelayedPool
from hybrid_executor.agent.removal import PodRemover
from hybrid_executor.agent.watch.events import PodStream, last_warning
from hybrid_executor.agent.watch.log_tails import LogTails
from hybrid_executor.agent.watch.recording import PodRecorder
from hybrid_executor.complaints import Complaints
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store, Submission

A = AttemptId("a")
SETTINGS = KubernetesSettings(delete_worker_pods=False)


class Marker:
    """A cluster that only takes the marks and deletions of pods that are done with."""

    def __init__(self) -> None:
        self.marked: list[str] = []
        self.deleted: list[str] = []

    def delete_pod(self, namespace: str, name: str, *, uid: str | None) -> bool:
        self.deleted.append(name)
        return True

    def patch_pod(self, namespace: str, name: str, patch: object) -> dict[str, Any]:
        self.marked.append(name)
        return {}


class World:
    def __init__(self) -> None:
        self.server = fakeredis.FakeServer()
        self.store = Store(fakeredis.FakeRedis(server=self.server, decode_responses=True), instance="test")
        self.cluster = Marker()
        client = cast(KubeClient, self.cluster)
        self.remover = PodRemover(client, cluster="default", complaints=Complaints(), threads=1)
        self.logs = DelayedPool("logs", threads=1)
        log_tails = LogTails(client, self.logs)
        self.shortages: list[str] = []
        self.stream = PodStream(
            client=client,
            attempts=self.store.attempts,
            recorder=PodRecorder(
                self.store.attempts,
                settings=SETTINGS,
                remover=self.remover,
                log_tails=log_tails,
                on_shortage=self.shortages.append,
            ),
            remover=self.remover,
            settings=SETTINGS,
        )
        submission = Submission(attempt=A, owner=OwnerId("1"), pool="kubernetes", fields={}, payload="{}")
        self.store.attempts.submit([submission])

    def take_in(self, *events: dict[str, Any]) -> list[str]:
        """Take events in; return the states that the record went through because of them."""
        before = self.store.events.end()
        self.stream.take_in(events)
        return [event.state for event in self.store.events.read(before).events]

    def note(self) -> str:
        [record] = self.store.attempts.records([A])
        assert record is not None
        return record.note


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.remover.close(seconds=5)
    world.logs.close(seconds=5)
    world.store.close()


def event(
    phase: str, *, kind: str = "MODIFIED", version: str = "1", launch: int = 0, reason: str = ""
) -> dict[str, Any]:
    state: dict[str, Any] = {"waiting": {"reason": reason, "message": "slow registry"}} if reason else {}
    if phase == "Running":
        state = {"running": {}}
    elif phase == "Succeeded":
        state = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    pod = {
        "metadata": {
            "name": f"p{launch}",
            "namespace": "ns",
            "uid": f"u{launch}",
            "resourceVersion": version,
            "labels": {"hybrid-executor/attempt": "a", "hybrid-executor/launch": str(launch)},
        },
        "spec": {"containers": [{"name": "base"}]},
        "status": {"phase": phase, "containerStatuses": [{"name": "base", "state": state}]},
    }
    return {"type": kind, "object": pod}


def test_a_pods_life_in_one_batch_is_recorded_in_order(world: World) -> None:
    life = [event("Pending"), event("Running"), event("Succeeded", version="9")]
    assert world.take_in(*life) == ["pending", "running", "succeeded"]
    assert world.take_in(*life) == []


def test_events_that_say_nothing_new_need_no_redis(world: World) -> None:
    world.take_in(event("Running"))
    world.server.connected = False
    assert world.stream.take_in([event("Running", version="2"), event("Running", version="3")]) == "3"
    with pytest.raises(StoreUnavailable):
        world.stream.take_in([event("Succeeded", version="4")])
    world.server.connected = True
    assert world.take_in(event("Succeeded", version="4")) == ["succeeded"]


def test_the_version_is_that_of_the_last_event_bookmarks_included(world: World) -> None:
    bookmark = {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "77"}}}
    assert world.stream.take_in([event("Pending", version="5"), bookmark]) == "77"
    assert world.stream.take_in([]) == ""


def test_others_give_way_to_a_pod_without_a_node_for_a_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def finds_no_node(version: str) -> dict[str, Any]:
        found = event("Pending", version=version)
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": version}
        found["object"]["status"]["conditions"] = [condition]
        return found

    world.take_in(finds_no_node("1"))
    world.take_in(finds_no_node("2"))
    assert world.shortages == ["ns", "ns"]
    monkeypatch.setattr("hybrid_executor.agent.watch.recording.SHORTAGE_SECONDS", 0)
    world.take_in(finds_no_node("3"))
    assert world.shortages == ["ns", "ns"]
    assert "finds no node" in world.note()


def test_an_event_of_an_older_launch_touches_nothing(world: World) -> None:
    world.store.attempts.advance(Change(attempt=A, to=State.SUBMITTED, sources=(State.SUBMITTED,), relaunch=True))
    assert world.take_in(event("Succeeded", launch=0)) == []
    assert world.take_in(event("Running", launch=1)) == ["running"]


def test_late_events_do_not_turn_a_record_back(world: World) -> None:
    world.take_in(event("Succeeded", version="9"))
    assert world.take_in(event("Running", version="5"), event("Pending", version="3")) == []


def test_a_waiting_pods_trouble_is_noted_until_it_runs(world: World) -> None:
    world.take_in(event("Pending", reason="ImagePullBackOff"))
    assert "slow registry" in world.note()
    world.take_in(event("Pending", reason="ImagePullBackOff"), event("Running"))
    assert world.note() == ""


def test_a_finished_pod_is_marked_only_after_its_record_and_only_once(world: World) -> None:
    world.take_in(event("Succeeded"))
    world.take_in(event("Succeeded"))
    world.remover.close(seconds=5)
    assert world.cluster.marked == ["p0"]


def test_a_pod_that_might_still_start_is_gone_before_its_task_is_launched_again(world: World) -> None:
    assert world.take_in(event("Pending", reason="CreateContainerError")) == []
    assert world.note().startswith("To be launched again")
    gone = event("Pending", kind="DELETED", version="7")
    gone["object"]["metadata"]["deletionTimestamp"] = "now"
    assert world.take_in(gone) == ["submitted"]
    world.remover.close(seconds=5)
    assert world.cluster.deleted == ["p0"]
    [record] = world.store.attempts.records([A])
    assert record is not None
    assert (record.launches, record.generation) == (1, 2)
    assert "slow registry" in record.note
    assert record.category == "start_error"


def test_an_attempt_taken_for_running_whose_task_never_started_is_left_to_its_owner(world: World) -> None:
    world.store.attempts.advance(Change(attempt=A, to=State.RUNNING))
    gone = event("Pending", kind="DELETED", version="7")
    gone["object"]["metadata"]["deletionTimestamp"] = "now"
    assert world.take_in(gone) == ["lost"]


def test_pods_that_are_gone_are_forgotten(world: World) -> None:
    world.take_in(event("Running"))
    assert len(world.stream.memory) == 1
    world.take_in(event("Running", kind="DELETED"))
    assert len(world.stream.memory) == 0


def test_pods_of_others_and_rubbish_are_passed_over(world: World) -> None:
    stranger = {"type": "ADDED", "object": {"metadata": {"name": "x", "resourceVersion": "8"}}}
    assert world.stream.take_in([stranger, {"type": "ADDED"}]) == "8"


def test_the_newest_warning_is_what_a_waiting_pod_is_said_to_wait_for() -> None:
    events = [
        {"type": "Warning", "reason": "FailedMount", "message": "old"},
        {"type": "Warning", "reason": "FailedMount", "message": "secret  not found"},
        {"type": "Normal", "reason": "Pulling", "message": "x"},
    ]
    assert last_warning(events) == "FailedMount: secret not found"
    assert last_warning([]) == ""
