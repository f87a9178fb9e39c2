"""What people ask the store: it is read by the server a page at a time, and nothing is changed."""

from __future__ import annotations

import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Change, LaunchPlace, Store
from tests.contract.store_world import pod_submission, submission

MANY = [AttemptId(f"attempt-{number}") for number in range(1500)]


def fields(number: int) -> dict[str, str | int]:
    return {"dag_id": "d", "task_id": f"t{number}", "queue": f"q{number % 2}"}


@pytest.fixture
def many(store: Store) -> Store:
    store.attempts.submit([submission(attempt, fields=fields(number)) for number, attempt in enumerate(MANY)])
    return store


def test_every_live_attempt_is_read_once_with_the_fields_that_are_asked_for(many: Store) -> None:
    found = many.view.live("celery", ["queue", "note"])
    assert sorted(record.id for record in found) == sorted(MANY)
    assert {(record.state, record.queue, record.note, record.dag_id) for record in found} == {
        (State.SUBMITTED, "q0", "", ""),
        (State.SUBMITTED, "q1", "", ""),
    }
    assert many.view.live("kubernetes", ["queue"]) == []


def test_only_records_with_the_wanted_values_leave_the_server(many: Store) -> None:
    [record] = many.view.live("celery", ["task_id", "queue"], where={"task_id": "t7", "queue": "q1"})
    assert record.id == MANY[7]
    assert many.view.live("celery", ["task_id", "queue"], where={"task_id": "t7", "queue": "q0"}) == []


def test_recent_attempts_come_from_the_events_the_newest_first(many: Store) -> None:
    for number in (3, 1):
        many.attempts.advance(Change(attempt=MANY[number], to=State.FAILED, fields={"reason": f"r{number}"}))
    found = many.view.recent(["reason"], states=[State.FAILED])
    assert [(record.id, record.reason) for record in found] == [(MANY[1], "r1"), (MANY[3], "r3")]
    assert [record.id for record in many.view.recent(["task_id"], most=1)] == [MANY[1]]
    assert len(many.view.recent(["task_id"])) == len(MANY)
    assert many.view.recent(["task_id"], since=many.view.now() + 60_000) == []


def test_records_are_read_by_id_and_missing_ones_are_left_out(many: Store) -> None:
    found = many.view.records([MANY[5], AttemptId("none"), MANY[2]], ["task_id"])
    assert [record.task_id for record in found] == ["t5", "t2"]


def test_the_place_in_a_queue_counts_what_is_handed_out_before(store: Store) -> None:
    for attempt in MANY[:1200]:
        store.client.lpush("q", f'{{"id": "{attempt}"}}')
    assert store.view.place_in_queue("q", MANY[0]) == 0
    assert store.view.place_in_queue("q", MANY[42]) == 42
    assert store.view.place_in_queue("q", MANY[1100]) == 1100
    assert store.view.place_in_queue("q", AttemptId("none")) is None
    assert store.view.place_in_queue("empty", MANY[0]) is None
    store.client.delete("q")


def test_the_place_in_the_launches_says_who_has_one_and_what_comes_before_the_others(store: Store) -> None:
    store.launches("c", consumer="a1").prepare()
    store.attempts.submit([pod_submission(attempt) for attempt in MANY[:5]])
    store.launches("c", consumer="a1").take(count=2, wait_milliseconds=1)
    assert store.view.place_in_launches("c", MANY[1]) == LaunchPlace(agent="a1")
    assert store.view.place_in_launches("c", MANY[2]) == LaunchPlace(ahead=0)
    assert store.view.place_in_launches("c", MANY[4]) == LaunchPlace(ahead=2)
    assert store.view.place_in_launches("c", AttemptId("none")) is None
    assert store.view.place_in_launches("other", MANY[1]) is None
    store.client.delete(store.keys.launch("c"))


def test_pods_on_their_way_are_counted_with_the_limit(store: Store) -> None:
    assert store.view.starting("c") == (0, 0)
    store.starts.admit("c", MANY[:5], most=0)
    assert store.view.starting("c")[0] == 5
    store.starts.run("c", MANY[:5])
    assert store.view.starting("c")[0] == 0
    assert store.view.starting("c")[1] > 0


def test_a_key_of_another_type_counts_as_empty_and_is_not_deleted(store: Store) -> None:
    store.attempts.submit([submission(MANY[0])])
    wrong = [store.keys.attempt("bad"), store.keys.live("kubernetes"), store.keys.launch("c"), "list"]
    for key in wrong:
        store.client.set(key, "x", ex=60)
    store.client.sadd(store.keys.live("celery"), "bad")
    [bad] = [record for record in store.view.live("celery", ["queue"]) if record.id == "bad"]
    assert "holds a value that is not a record" in bad.trouble
    assert store.view.live("kubernetes", ["queue"]) == []
    assert store.view.place_in_launches("c", MANY[0]) is None
    assert store.view.place_in_queue("list", MANY[0]) is None
    store.client.delete(store.keys.events)
    store.client.set(store.keys.events, "x", ex=60)
    assert store.view.recent(["queue"]) == []
    assert store.view.events_after()[0] == []
    assert all(store.client.get(key) == "x" for key in [*wrong, store.keys.events])


def test_events_are_followed_from_a_cursor(store: Store) -> None:
    store.attempts.submit([submission(attempt) for attempt in MANY[:3]])
    first, cursor = store.view.events_after(most=2)
    rest, end = store.view.events_after(cursor)
    assert [event.attempt for event in (*first, *rest)] == MANY[:3]
    assert store.view.events_after(end) == ([], end)


def test_a_note_says_since_when_it_stands(store: Store) -> None:
    store.attempts.submit([submission(MANY[0])])

    def noted(**fields: str) -> str:
        store.attempts.annotate({MANY[0]: fields})
        [record] = store.attempts.records([MANY[0]])
        assert record is not None
        return record.extra["noted_at"]

    def age() -> None:
        store.client.hset(store.keys.attempt(MANY[0]), "noted_at", "1")

    assert int(noted(note="no node", category="unschedulable")) > 1
    age()
    assert noted(note="still no node", category="unschedulable") == "1"
    assert int(noted(note="no image", category="image_pull")) > 1
    age()
    assert noted(note="no image") == "1"
    assert int(noted(note="quota")) > 1
