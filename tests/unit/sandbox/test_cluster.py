"""The object store: versions, history, and what compaction forgets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.history import Change
from hybrid_executor.sandbox.objects import PODS, with_metadata
from hybrid_executor.sandbox.status import StatusError


def new_pod(name: str, namespace: str = "default") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {}, "status": {}}


def test_each_write_has_the_next_version() -> None:
    cluster = Cluster()
    first = cluster.create(PODS, new_pod("a"))
    second = cluster.replace(PODS, {**first, "status": {"phase": "Running"}})
    removed = cluster.remove(PODS, "default", "a")
    versions = [int(state["metadata"]["resourceVersion"]) for state in (first, second, removed)]
    assert versions == [versions[0], versions[0] + 1, versions[0] + 2]
    assert cluster.version == versions[2]


def test_a_write_that_changes_nothing_is_no_write() -> None:
    cluster = Cluster()
    pod = cluster.create(PODS, new_pod("a"))
    assert cluster.replace(PODS, dict(pod)) is pod
    assert cluster.version == int(pod["metadata"]["resourceVersion"])


def test_a_write_based_on_an_old_version_is_a_conflict() -> None:
    cluster = Cluster()
    old = cluster.create(PODS, new_pod("a"))
    cluster.replace(PODS, {**old, "status": {"phase": "Running"}})
    with pytest.raises(StatusError, match="the object has been modified"):
        cluster.replace(PODS, {**old, "status": {"phase": "Failed"}})


def test_objects_come_in_the_order_of_namespace_and_name() -> None:
    cluster = Cluster()
    for namespace, name in (("b", "a"), ("a", "z"), ("a", "b")):
        cluster.create(PODS, new_pod(name, namespace))
    keys = [(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in cluster.select(PODS)]
    assert keys == [("a", "b"), ("a", "z"), ("b", "a")]
    assert [pod["metadata"]["name"] for pod in cluster.select(PODS, "a")] == ["b", "z"]


def test_the_past_can_be_listed_as_it_was() -> None:
    cluster = Cluster()
    kept = cluster.create(PODS, new_pod("kept"))
    gone = cluster.create(PODS, new_pod("gone"))
    then = cluster.version
    cluster.remove(PODS, "default", "gone")
    cluster.replace(PODS, with_metadata(kept, {"labels": {"new": "1"}}))
    cluster.create(PODS, new_pod("later"))
    assert cluster.select(PODS, at=then) == [gone, kept]


def test_compaction_forgets_all_but_the_present() -> None:
    cluster = Cluster()
    cluster.create(PODS, new_pod("a"))
    then = cluster.version
    cluster.create(PODS, new_pod("b"))
    cluster.compact()
    with pytest.raises(StatusError, match=f"too old resource version: {then} ") as caught:
        cluster.changes_after(PODS, then)
    assert caught.value.code == 410
    assert cluster.changes_after(PODS, cluster.version) == []


def test_a_long_history_forgets_its_beginning() -> None:
    cluster = Cluster(history_limit=10)
    start = cluster.version
    for number in range(21):
        cluster.create(PODS, new_pod(f"p{number}"))
    assert len(cluster.changes_after(PODS, cluster.version - 10)) == 10
    with pytest.raises(StatusError, match="too old"):
        cluster.changes_after(PODS, start)


def test_listeners_hear_each_change_with_the_states_around_it() -> None:
    cluster = Cluster()
    heard: list[Change] = []
    cluster.listen(heard.append)
    pod = cluster.create(PODS, new_pod("a"))
    cluster.remove(PODS, "default", "a")
    created, removed = heard
    assert (created.before, created.after) == (None, pod)
    assert (removed.before, removed.after) == (pod, None)
    assert removed.state["metadata"]["resourceVersion"] == str(removed.version)


def test_waiting_ends_with_the_next_write() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        waiting = asyncio.create_task(cluster.wait(timeout_seconds=30))
        await asyncio.sleep(0)
        cluster.create(PODS, new_pod("a"))
        await asyncio.wait_for(waiting, timeout=5)

    asyncio.run(scenario())
