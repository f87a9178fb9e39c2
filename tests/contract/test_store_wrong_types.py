"""Keys of ours that hold something else: one attempt ends for it, or an index is made anew; nothing else stops."""

from __future__ import annotations

import pytest

from hybrid_executor.events import SCHEMA, STREAM_START, AttemptId, StreamId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Order, Outcome, Store
from tests.contract.store_world import ONE, A, B, pod_submission, submission

C = AttemptId("c")


def test_a_record_that_is_none_ends_no_batch(store: Store) -> None:
    store.client.set(store.keys.attempt(A), "something else", ex=60)
    batch = [submission(A, queue_key="q", message="a"), submission(B, queue_key="q", message="b")]
    refused, accepted = store.attempts.submit(batch)
    assert accepted == 1
    assert store.keys.attempt(A) in store.attempts.explain(batch[0], refused)
    assert store.client.lrange("q", 0, -1) == ["b"]
    bad, good = store.attempts.records([A, B])
    assert bad is not None
    assert good is not None
    assert (bad.state, bool(bad.trouble)) == (State.UNKNOWN, True)
    assert (good.state, good.trouble) == (State.SUBMITTED, "")
    answers = store.attempts.advance_all([Change(attempt=x, to=State.FAILED) for x in (A, B)])
    assert [answer.outcome for answer in answers] == [Outcome.UNREADABLE, Outcome.CHANGED]
    assert store.attempts.claim(A, worker="w").outcome is Outcome.UNREADABLE
    adopted = store.attempts.adopt([A, B], owner=ONE)
    assert [record is not None and bool(record.trouble) for record in adopted] == [True, False]
    store.attempts.annotate({A: {"note": "n"}})
    store.attempts.forget_ended([A, B], owner=ONE)


def test_a_queue_whose_key_is_no_list_ends_its_own_attempts_alone(store: Store) -> None:
    store.client.set("bad", "no list")
    batch = [submission(A, queue_key="good", message="a"), submission(B, queue_key="bad", message="b"), submission(C)]
    answers = store.attempts.submit(batch)
    assert answers[0] == answers[2] == 1
    assert "bad" in store.attempts.explain(batch[1], answers[1])
    assert store.attempts.records([B]) == [None]
    assert store.attempts.live("celery") == {A, C}
    assert store.broker_lists.next_message("bad") == ""
    assert store.broker_lists.lengths(["bad"]) == {"bad": 0}
    assert not store.broker_lists.remove_message("bad", "b")


def test_a_launch_stream_that_is_a_list_ends_its_own_attempts_alone(store: Store) -> None:
    store.client.lpush(store.keys.launch("c"), "x")
    batch = [pod_submission(A), submission(B)]
    answers = store.attempts.submit(batch)
    assert answers[1] == 1
    assert store.keys.launch("c") in store.attempts.explain(batch[0], answers[0])
    assert store.attempts.records([A]) == [None]


@pytest.mark.parametrize(
    "name", ["events", "live", "owner", "trimmed", "epoch", "workers", "worker", "orders", "lease"]
)
def test_an_index_that_holds_something_else_is_made_anew(store: Store, name: str) -> None:
    keys = store.keys
    key = {
        "events": keys.events,
        "live": keys.live("celery"),
        "owner": keys.owner(ONE),
        "trimmed": keys.trimmed,
        "epoch": keys.epoch,
        "workers": keys.members("worker"),
        "worker": keys.member("worker", "w"),
        "orders": keys.orders("life"),
        "lease": keys.lease("l"),
    }[name]
    store.client.set(key, "x") if name in ("events", "live", "owner", "workers") else store.client.zadd(key, {"x": 1})
    assert store.events.read(STREAM_START).events == ()
    store.events.end()
    assert store.events.present().name
    assert store.attempts.live("celery") == store.attempts.owned_by(ONE) == set()
    assert store.attempts.submit([submission(A, queue_key="q", message="m")]) == [1]
    assert store.attempts.live("celery") == store.attempts.owned_by(ONE) == {A}
    assert [event.state for event in store.events.read(STREAM_START).events] == ["submitted"]
    store.presence.announce("worker", "w", {"running": '["a"]'}, seconds=30)
    assert store.presence.in_hand() == {A}
    assert store.orders.take("life") == []
    assert store.leases.take("l", holder="me", seconds=5) is not None
    assert store.attempts.claim(A, worker="w").is_granted
    assert store.attempts.advance(Change(attempt=A, to=State.SUCCEEDED)).is_granted
    assert store.events.trim(keep_entries=100, keep_seconds=0) == 0


def test_a_payload_that_is_no_text_is_no_payload(store: Store) -> None:
    store.attempts.submit([pod_submission(A), pod_submission(B)])
    store.client.delete(store.keys.payload(A))
    store.client.lpush(store.keys.payload(A), "x")
    store.client.expire(store.keys.payload(A), 60)
    (_, bad, _), (_, good, _) = store.attempts.workloads([A, B])
    assert (bad, good) == ("", "secret")


def test_a_state_of_a_newer_release_is_unknown_and_a_number_that_is_none_is_zero(store: Store) -> None:
    store.attempts.submit([submission(A), submission(B)])
    store.client.hset(store.keys.attempt(A), mapping={"state": "warming", "launches": "many"})
    newer, known = store.attempts.records([A, B])
    assert newer is not None
    assert known is not None
    assert (newer.state, newer.launches, newer.trouble, known.state) == (State.UNKNOWN, 0, "", State.SUBMITTED)
    assert store.attempts.advance(Change(attempt=A, to=State.FAILED)).outcome is Outcome.ILLEGAL


def test_a_record_of_a_higher_schema_is_unknown_and_is_not_changed(store: Store) -> None:
    store.attempts.submit([submission(A), submission(B)])
    store.client.hset(store.keys.attempt(A), "schema", SCHEMA + 1)
    newer, known = store.attempts.records([A, B])
    assert newer is not None
    assert known is not None
    assert (newer.state, newer.schema, newer.trouble) == (State.UNKNOWN, SCHEMA + 1, "")
    assert (known.state, known.schema) == (State.SUBMITTED, SCHEMA)
    assert store.attempts.advance(Change(attempt=A, to=State.FAILED)).outcome is Outcome.ILLEGAL
    assert store.client.hget(store.keys.attempt(A), "state") == "submitted"


def test_a_worker_whose_announcement_cannot_be_read_hides_no_other(store: Store) -> None:
    store.presence.announce("worker", "bad", {"running": "no json", "held": "7"}, seconds=30)
    store.presence.announce("worker", "good", {"running": '["a"]', "held": '["b"]'}, seconds=30)
    assert store.presence.in_hand() == {A, B}


def test_a_mark_of_trimmed_events_that_is_none_is_a_gap(store: Store) -> None:
    store.client.set(store.keys.trimmed, "no entry id")
    assert store.events.read(StreamId("5-1")).has_gap
    assert not store.events.read(StreamId("5-1")).has_gap


def test_an_order_leaves_the_list_when_it_is_obeyed_and_one_that_cannot_be_read_holds_up_none(store: Store) -> None:
    store.client.rpush(store.keys.orders("life"), "no json", '{"no": "verb"}')
    store.orders.give("life", Order("drain"))

    def fail(_: list[Order]) -> None:
        raise ConnectionError

    obeyed: list[Order] = []
    with pytest.raises(Exception, match="cannot be reached"):
        store.orders.take("life", obey=fail)
    store.orders.take("life", obey=obeyed.extend)
    assert [order.verb for order in obeyed] == ["none", "none", "drain"]
    assert store.orders.take("life") == []


def test_what_nobody_answers_for_leaves_the_pools_set_when_its_record_has_gone(store: Store) -> None:
    ids = [AttemptId(f"a{i}") for i in range(700)]
    store.attempts.submit([submission(i) for i in ids])
    store.client.delete(*(store.keys.attempt(i) for i in ids[5:]))
    cursor, rounds = store.attempts.sweep("celery", count=100), 1
    while cursor:
        cursor, rounds = store.attempts.sweep("celery", cursor=cursor, count=100), rounds + 1
    assert store.attempts.live("celery") == set(ids[:5])
    assert all(int(str(store.client.ttl(key))) > 0 for key in (store.keys.live("celery"), store.keys.owner(ONE)))
