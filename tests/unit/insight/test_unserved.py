"""Work that waits for somebody who is not there."""

from __future__ import annotations

import pytest

from hybrid_executor.insight.members import AgentView, WorkerView, view_agent, view_worker
from hybrid_executor.insight.unserved import Place, find_unserved, place_of
from hybrid_executor.states import State
from hybrid_executor.store import Member


def worker(queues: str, **fields: str) -> WorkerView:
    member = Member(role="worker", name="w@h", fields={"queues": queues, **fields}, silent_seconds=1)
    return view_worker(member, now=100)


def agent(clusters: str) -> AgentView:
    return view_agent(Member(role="agent", name="a", fields={"clusters": clusters}, silent_seconds=1))


SILENT = view_worker(Member(role="worker", name="gone@h", fields={}, silent_seconds=100), now=100)
ETL, CLUSTER = Place(pool="celery", name="etl"), Place(pool="kubernetes", name="east")


@pytest.mark.parametrize(
    ("pool", "state", "expected"),
    [
        ("celery", State.SUBMITTED, ETL),
        ("celery", State.RUNNING, None),
        ("kubernetes", State.SUBMITTED, CLUSTER),
        ("kubernetes", State.PENDING, CLUSTER),
        ("kubernetes", State.RUNNING, CLUSTER),
        ("kubernetes", State.FAILED, None),
        ("local", State.RUNNING, None),
    ],
)
def test_who_is_waited_for(pool: str, state: State, expected: Place | None) -> None:
    assert place_of(pool=pool, queue="etl", cluster="east", state=state) == expected


def test_a_queue_is_served_by_a_living_worker_that_has_it() -> None:
    assert find_unserved([ETL], workers=[worker("default,etl")], agents=[]) == []
    found = find_unserved([ETL, None, ETL], workers=[worker("default"), SILENT], agents=[agent("etl")])
    assert [(item.place, item.attempts) for item in found] == [(ETL, 2)]


def test_a_queue_that_its_only_worker_has_paused_is_not_served_and_the_worker_is_named() -> None:
    [item] = find_unserved([ETL], workers=[worker("", paused_queues="etl")], agents=[])
    assert item.place == ETL
    assert "served only by workers that drain: w@h" in str(item)
    assert "airflow hybrid drain w@h --undo" in str(item)


def test_a_cluster_is_served_by_a_living_agent_of_it() -> None:
    assert find_unserved([CLUSTER], workers=[], agents=[agent("default,east")]) == []
    assert [item.place for item in find_unserved([CLUSTER], workers=[worker("east")], agents=[agent("west")])] == [
        CLUSTER
    ]


def test_the_words_say_what_to_run() -> None:
    queue, cluster = find_unserved([ETL, ETL, CLUSTER], workers=[], agents=[])
    assert "2 attempts wait in queue etl" in str(queue)
    assert "airflow hybrid worker --queues etl" in str(queue)
    assert "1 attempt waits for pods in cluster east" in str(cluster)
    assert "airflow hybrid agent" in str(cluster)
