"""Which attempts are read in full, and what is said of attempts."""

from __future__ import annotations

import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.insight.attempts import AttemptView
from hybrid_executor.plugin.page.actions import ACTIONS, actions_for
from hybrid_executor.plugin.page.shown import MOST_ROWS, choose_first
from hybrid_executor.plugin.page.telling import TaskName, parse_map_index
from hybrid_executor.plugin.page.wording import moment, slots, why
from hybrid_executor.states import State
from hybrid_executor.store import Record


def waiting(dag: str, count: int) -> list[Record]:
    return [
        Record(id=AttemptId(f"{dag}-{number}"), state=State.SUBMITTED, generation=1, dag_id=dag)
        for number in range(count)
    ]


def test_of_one_dag_as_many_are_read_as_can_be_shown() -> None:
    chosen = choose_first(waiting("etl", 10_000), most=500)
    assert chosen == [f"etl-{number}" for number in range(MOST_ROWS)]


def test_of_many_dags_the_first_of_each_are_read() -> None:
    records = [record for number in range(100) for record in waiting(f"dag{number}", 100)]
    chosen = choose_first(records, most=500)
    assert len(chosen) == 500
    assert {f"dag{number}-0" for number in range(100)} <= set(chosen)


def test_of_very_many_dags_no_more_than_the_limit_are_read() -> None:
    records = [record for number in range(3000) for record in waiting(f"dag{number}", 1)]
    assert len(choose_first(records, most=500)) == 500


def test_where_nothing_waits_nothing_is_read() -> None:
    assert choose_first([], most=500) == []


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (AttemptView(id="a", state="failed", reason="Out of memory", note="0/3 nodes"), "Out of memory"),
        (AttemptView(id="a", state="failed"), "No reason was given."),
        (AttemptView(id="a", state="pending", pool="kubernetes", note="0/3 nodes"), "0/3 nodes"),
        (AttemptView(id="a", state="submitted", pool="celery"), "A worker: its message is in the queue."),
        (AttemptView(id="a", state="submitted", pool="kubernetes", reason="It was lost"), "It was lost"),
        (AttemptView(id="a", state="unknown", trouble="a list"), "Its record cannot be read: a list"),
        (AttemptView(id="a", state="running", pool="celery"), ""),
    ],
)
def test_a_row_says_what_its_attempt_waits_for_or_why_it_ended(attempt: AttemptView, words: str) -> None:
    assert why(attempt) == words


def test_numbers_and_moments_are_read_by_people() -> None:
    assert (slots(32), slots(2**31), slots(2**32)) == ("32", "no limit", "no limit")
    assert moment(0.9) == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "index"),
    [("-1", -1), ("0", 0), ("12", 12), ("{MAP_INDEX}", None), ("", None), ("٣", None), ("9" * 20, None)],
)
def test_the_map_index_of_an_address_is_a_number_or_none(text: str, index: int | None) -> None:
    assert parse_map_index(text) == index


def test_a_task_is_named_as_people_write_it() -> None:
    assert TaskName(dag_id="etl", run_id="r", task_id="load", map_index=3).words == "etl.load[3]"
    assert TaskName(dag_id="etl", run_id="r", task_id="load", map_index=-1).words == "etl.load"


@pytest.mark.parametrize(
    ("kind", "state", "offered"),
    [
        ("worker", "running", ["drain-worker", "add-queue", "remove-queue"]),
        ("worker", "draining", ["resume-worker", "add-queue", "remove-queue"]),
        ("worker", "drained", ["resume-worker", "add-queue", "remove-queue"]),
        ("worker", "deaf", ["drain-worker", "add-queue", "remove-queue"]),
        ("agent", "running", ["drain-agent"]),
        ("agent", "draining", ["resume-agent"]),
    ],
)
def test_only_actions_that_make_sense_are_offered(kind: str, state: str, offered: list[str]) -> None:
    assert [name for name, _ in actions_for(kind, state)] == offered


def test_each_action_says_what_it_does() -> None:
    for action in ACTIONS.values():
        assert action.question.format(name="celery@a").endswith("?")
        assert action.effect.endswith(".")
