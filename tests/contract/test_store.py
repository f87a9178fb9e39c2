"""The store's promises, the same on fakeredis and on a real server."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis

from hybrid_executor.errors import ConfigError, StoreUnavailable
from hybrid_executor.events import SCHEMA, STREAM_START, AttemptId, StreamId, stream_position
from hybrid_executor.states import State
from hybrid_executor.store import (
    Change,
    Erasure,
    Keys,
    Outcome,
    RedisSettings,
    Restoration,
    Store,
    open_store,
)
from hybrid_executor.store.scripts import calls, load_script
from tests.contract.store_world import ONE, TWO, A, B, pod_submission, submission
from tests.waiting import wait_until


def states(store: Store) -> list[str]:
    return [event.state for event in store.events.read(STREAM_START).events]


# ---- submit ----


def test_a_submission_writes_record_payload_message_and_event_together(store: Store) -> None:
    assert store.attempts.submit([submission(queue_key="q", message="m")]) == [1]
    record, payload, overrides = store.attempts.workload(A)
    assert record is not None
    assert (record.state, record.owner, record.pool, record.queue, record.generation) == (
        State.SUBMITTED,
        ONE,
        "celery",
        "q",
        1,
    )
    assert (payload, overrides) == ("secret", "")
    assert store.client.lrange("q", 0, -1) == ["m"]
    assert states(store) == ["submitted"]
    assert store.attempts.owned_by(ONE) == store.attempts.live("celery") == {A}


def test_a_repeated_submission_sends_no_second_message(store: Store) -> None:
    store.attempts.submit([submission(queue_key="q", message="m")])
    assert store.attempts.submit([submission(queue_key="q", message="m"), submission(B)]) == [0, 1]
    assert store.client.llen("q") == 1


def test_messages_leave_a_queue_in_the_order_of_the_batch(store: Store) -> None:
    ids = [AttemptId(f"a{i}") for i in range(450)]
    store.attempts.submit([submission(i, queue_key="q", message=i) for i in ids])
    assert [store.client.rpop("q") for _ in ids] == ids


def test_submitting_again_needs_the_generation_that_is_known(store: Store) -> None:
    store.attempts.submit([submission()])
    store.attempts.advance(Change(attempt=A, to=State.LOST))
    assert store.attempts.submit([submission(expected_generation=7)]) == [0]
    assert store.attempts.submit([submission(expected_generation=1, owner=TWO)]) == [2]
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.state, record.launches, record.owner) == (State.SUBMITTED, 1, TWO)
    assert store.attempts.owned_by(ONE) == set()


def test_an_ended_attempt_is_never_submitted_again(store: Store) -> None:
    store.attempts.submit([submission()])
    store.attempts.advance(Change(attempt=A, to=State.SUCCEEDED))
    assert store.attempts.submit([submission(expected_generation=1)]) == [0]


# ---- claim, advance ----


def test_exactly_one_worker_claims_an_attempt(store: Store) -> None:
    store.attempts.submit([submission()])
    assert store.attempts.claim(A, worker="w1").is_granted
    refused = store.attempts.claim(A, worker="w2")
    assert (refused.outcome, refused.holder) == (Outcome.ILLEGAL, "w1")


def test_the_payload_is_gone_once_an_attempt_starts(store: Store) -> None:
    store.attempts.submit([submission(overrides="{}")])
    store.attempts.claim(A, worker="w")
    assert store.attempts.workload(A)[1:] == ("", "")


def test_a_claim_writes_a_lost_record_anew(store: Store) -> None:
    claim = store.attempts.claim(A, worker="w", owner=ONE, fields={"dag_id": "d"})
    assert claim.is_granted
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.dag_id, record.owner, record.state) == ("d", ONE, State.RUNNING)
    assert store.attempts.owned_by(ONE) == {A}


@pytest.mark.parametrize("end", [State.SUCCEEDED, State.FAILED, State.REVOKED])
def test_an_ended_attempt_cannot_be_claimed_or_changed(store: Store, end: State) -> None:
    store.attempts.submit([submission()])
    assert store.attempts.advance(Change(attempt=A, to=end)).is_granted
    assert not store.attempts.claim(A, worker="w").is_granted
    for state in State:
        assert store.attempts.advance(Change(attempt=A, to=state)).outcome is Outcome.ILLEGAL
    assert states(store) == ["submitted", end.value]


def test_an_ended_attempt_leaves_the_sets_and_expires(store: Store) -> None:
    store.attempts.submit([submission()])
    store.attempts.advance(Change(attempt=A, to=State.FAILED, fields={"reason": "why", "exit_code": 3}))
    assert store.attempts.owned_by(ONE) == store.attempts.live("celery") == set()
    assert 0 < store.client.ttl(store.keys.attempt(A)) <= 86400
    [event] = [e for e in store.events.read(STREAM_START).events if e.state == "failed"]
    assert event.reason == "why"
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.reason, record.exit_code, record.ended_at > 0) == ("why", "3", True)


def test_a_change_of_another_generation_is_stale(store: Store) -> None:
    store.attempts.submit([submission()])
    stale = store.attempts.advance(Change(attempt=A, to=State.RUNNING, generation=9))
    assert (stale.outcome, stale.generation) == (Outcome.STALE, 1)


def test_a_repeated_change_makes_one_event(store: Store) -> None:
    store.attempts.submit([submission()])
    change = Change(attempt=A, to=State.RUNNING, fields={"holder": "w"})
    assert [claim.outcome for claim in store.attempts.advance_all([change, change])] == [
        Outcome.CHANGED,
        Outcome.ILLEGAL,
    ]
    assert states(store) == ["submitted", "running"]


def test_a_change_of_an_unknown_attempt_is_missing(store: Store) -> None:
    assert store.attempts.advance(Change(attempt=A, to=State.RUNNING)).outcome is Outcome.MISSING


def test_revoking_a_pod_asks_for_its_deletion(store: Store) -> None:
    store.attempts.submit([pod_submission()])
    stream = store.launches("c", consumer="me")
    stream.prepare()
    [launch] = stream.take(count=10, wait_milliseconds=10)
    stream.acknowledge(launch.id)
    store.attempts.revoke([A], reason="stuck")
    [entry] = stream.take(count=10, wait_milliseconds=10)
    assert (entry.op, entry.namespace, entry.pod) == ("delete", "n", "p")


def test_a_record_that_has_changed_since_it_was_read_is_not_deleted(store: Store) -> None:
    store.attempts.submit([submission()])
    store.attempts.claim(A, worker="w")
    store.attempts.advance(Change(attempt=A, to=State.FAILED, generation=2))
    assert store.erasing.erase(A, generation=1) is Erasure.CHANGED
    assert store.attempts.records([A]) != [None]
    assert store.erasing.erase(A, generation=2) is Erasure.DELETED
    assert store.attempts.records([A]) == [None]


def test_notes_are_written_to_live_records_only(store: Store) -> None:
    store.attempts.submit([submission()])
    store.attempts.annotate({A: {"note": "waiting for quota"}, B: {"note": "x"}})
    [record] = store.attempts.records([A])
    assert record is not None
    assert record.note == "waiting for quota"
    assert not store.client.exists(store.keys.attempt(B))
    store.attempts.advance(Change(attempt=A, to=State.SUCCEEDED))
    store.attempts.annotate({A: {"note": "late"}})
    [record] = store.attempts.records([A])
    assert record is not None
    assert record.note == "waiting for quota"


# ---- owners ----


def test_adoption_changes_the_owner_of_what_lives(store: Store) -> None:
    store.attempts.submit([submission(), submission(B)])
    store.attempts.advance(Change(attempt=B, to=State.FAILED))
    adopted = store.attempts.adopt([A, B, AttemptId("unknown")], owner=TWO)
    assert [(r.owner, r.state) if r else None for r in adopted] == [
        (TWO, State.SUBMITTED),
        (ONE, State.FAILED),
        None,
    ]
    assert (store.attempts.owned_by(ONE), store.attempts.owned_by(TWO)) == (set(), {A})


def test_a_record_that_has_fallen_back_is_replaced_and_stays_with_the_scheduler_that_has_adopted_it(
    store: Store,
) -> None:
    store.attempts.submit([submission(A)])
    store.attempts.adopt([A], owner=TWO)
    restored = Restoration(
        attempt=A,
        owner=ONE,
        pool="celery",
        state=State.RUNNING,
        generation=5,
        fields={},
        replaces_older=True,
    )
    store.attempts.restore([restored])
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.state, record.generation, record.owner) == (State.RUNNING, 5, TWO)
    assert store.attempts.owned_by(TWO) == {A}
    assert store.attempts.owned_by(ONE) == set()
    store.attempts.restore([replace(restored, generation=4)])
    assert store.attempts.records([A]) == [record]


def test_what_has_ended_is_not_replaced_by_what_somebody_remembers_of_it(store: Store) -> None:
    store.attempts.submit([submission(A)])
    store.attempts.advance(Change(attempt=A, to=State.SUCCEEDED))
    ended = store.attempts.records([A])
    remembered = Restoration(
        attempt=A, owner=ONE, pool="celery", state=State.RUNNING, generation=9, fields={}, replaces_older=True
    )
    store.attempts.restore([remembered])
    assert store.attempts.records([A]) == ended
    assert store.attempts.owned_by(ONE) == set()


def test_a_lost_record_is_restored_once(store: Store) -> None:
    lost = Restoration(attempt=A, owner=ONE, pool="celery", state=State.RUNNING, generation=4, fields={"holder": "w"})
    store.attempts.restore([lost, lost])
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.generation, record.holder) == (4, "w")
    assert states(store) == ["running"]


def test_ended_members_are_dropped_from_an_owners_set(store: Store) -> None:
    store.attempts.submit([submission(), submission(B)])
    store.client.delete(store.keys.attempt(B))
    store.attempts.forget_ended([A, B], owner=ONE)
    assert store.attempts.owned_by(ONE) == {A}


# ---- events ----


def test_every_reader_sees_every_event_from_its_own_cursor(store: Store) -> None:
    cursor = store.events.end()
    store.attempts.submit([submission(), submission(B)])
    first, second = store.events.read(cursor), store.events.read(cursor)
    assert [e.attempt for e in first.events] == [e.attempt for e in second.events] == [A, B]
    assert store.events.read(first.cursor).events == ()


def test_stream_ids_are_compared_as_numbers() -> None:
    assert stream_position("5-10") > stream_position("5-9")
    assert stream_position("10-0") > stream_position("9-99")


def test_a_reader_is_told_that_entries_after_its_cursor_were_trimmed(store: Store) -> None:
    store.attempts.submit([submission(AttemptId(f"a{i}")) for i in range(20)])
    middle = store.events.read(STREAM_START, count=10).cursor
    newest = int(str(store.events.end()).partition("-")[0])
    wait_until(lambda: store.now_milliseconds() > newest)  # what is of this very millisecond is kept
    assert store.events.trim(keep_entries=5, keep_seconds=0) == 15
    gap = store.events.read(middle)
    assert gap.has_gap
    assert not store.events.read(gap.cursor).has_gap
    assert not store.events.read(store.events.end()).has_gap


def test_a_gap_after_which_nothing_has_happened_is_told_once(store: Store) -> None:
    store.attempts.submit([submission(A), submission(B)])
    first = store.events.read(STREAM_START, count=1).cursor
    newest = int(str(store.events.end()).partition("-")[0])
    wait_until(lambda: store.now_milliseconds() > newest)
    assert store.events.trim(keep_entries=0, keep_seconds=0) == 2
    gap = store.events.read(first)
    assert (gap.has_gap, gap.events) == (True, ())
    assert not store.events.read(gap.cursor).has_gap


def test_young_events_and_the_newest_ones_are_not_trimmed(store: Store) -> None:
    store.attempts.submit([submission(AttemptId(f"a{i}")) for i in range(5)])
    assert store.events.trim(keep_entries=0, keep_seconds=60) == 0
    assert store.events.trim(keep_entries=10, keep_seconds=0) == 0


def test_an_entry_that_is_no_event_is_skipped(store: Store) -> None:
    store.client.xadd(store.keys.events, {"foreign": "1"})
    store.attempts.submit([submission()])
    assert states(store) == ["submitted"]


def test_an_event_of_a_state_that_only_newer_versions_know_is_skipped(store: Store) -> None:
    store.client.xadd(store.keys.events, {"attempt": "a", "state": "warming", "generation": "1"})
    store.attempts.submit([submission()])
    assert states(store) == ["submitted"]


def test_an_event_of_a_higher_schema_is_skipped(store: Store) -> None:
    event = {"attempt": "a", "state": "running", "generation": "1"}
    store.client.xadd(store.keys.events, {**event, "schema": str(SCHEMA + 1)})
    store.client.xadd(store.keys.events, event)  # of a release that wrote no number yet
    store.attempts.submit([submission()])
    assert states(store) == ["running", "submitted"]


def test_the_epoch_is_made_once(store: Store) -> None:
    assert store.events.begin_epoch("one") == store.events.begin_epoch("two") == "one"
    assert store.events.read(STREAM_START).epoch == "one"


# ---- safety ----


def test_no_key_without_an_expiry_is_left_when_all_ended(store: Store) -> None:
    store.attempts.submit([submission(queue_key="q", message="m"), pod_submission(B)])
    store.attempts.claim(A, worker="w")
    store.client.rpop("q")
    for attempt in (A, B):
        store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED))
    stream = store.launches("c", consumer="me")
    stream.prepare()
    for entry in stream.take(count=5, wait_milliseconds=10):
        stream.acknowledge(entry.id)
    lasting = {key for key in store.client.scan_iter() if store.client.ttl(key) == -1}
    assert lasting == {store.keys.events, store.keys.launch("c")}


def test_all_keys_share_one_hash_tag() -> None:
    keys = Keys("prod")
    names = [
        keys.attempt("a"),
        keys.payload("a"),
        keys.owner("1"),
        keys.live("p"),
        keys.events,
        keys.launch("c"),
        keys.lease("l"),
        keys.rate("c"),
        keys.version("c", "n"),
        keys.member("worker", "w"),
        keys.epoch,
    ]
    assert {name[: name.index("}") + 1] for name in names} == {"{hybrid:prod}"}


@pytest.mark.parametrize("instance", ["", "a b", "{x}", "a" * 64])
def test_an_instance_name_that_cannot_be_a_label_is_refused(instance: str) -> None:
    with pytest.raises(ConfigError, match="letters, digits"):
        Keys(instance)


def test_an_unreachable_server_is_unavailable_not_empty() -> None:
    store = open_store(RedisSettings(url="redis://127.0.0.1:1/0", connect_seconds=0.2), instance="test")
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        store.attempts.records([A])


@pytest.mark.parametrize("url", ["amqp://host", "sentinel://host:1/0", "redis://host:notaport/0"])
def test_a_url_that_cannot_be_used_says_what_to_write(url: str) -> None:
    with pytest.raises(ConfigError, match=r"redis://|master_name"):
        open_store(RedisSettings(url=url), instance="test")


def test_scripts_are_taught_to_a_server_that_forgot_them(redis_url: str) -> None:
    store = open_store(RedisSettings(url=redis_url), instance="test")
    store.attempts.submit([submission()])
    with redis.Redis.from_url(redis_url) as admin:
        admin.script_flush()
        assert admin.script_exists(load_script(calls.Submit).digest) == [False]
    assert store.attempts.submit([submission(), submission(B)]) == [0, 1]
    store.close()


def test_the_end_of_an_empty_stream_is_its_start(store: Store) -> None:
    assert store.events.end() == StreamId("0-0")
