"""Targets with a limit, and attempts that go on to another target: each is one step, on every server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import FULL, Change, LaunchAck, LaunchStream, Outcome, Placement, Store, Submission
from tests.contract.store_world import ONE, TWO, A, B, pod_submission, submission

C = AttemptId("c")
CELERY, SPOT, PODS = "etl-*>celery", "etl-*>kubernetes:spot", "etl-*>kubernetes"


def on_celery(attempt: AttemptId = A, *, most: int = 0, **rest: object) -> Submission:
    placement = Placement(target="celery", route="etl-*", most=most)
    return submission(attempt, queue_key="q", message="m", placement=placement, **rest)


def on_pods(attempt: AttemptId = A, *, target: str = "kubernetes", generation: int = 0, **place: object) -> Submission:
    placement = Placement(target=target, route="etl-*", **place)  # type: ignore[arg-type]
    return replace(pod_submission(attempt), placement=placement, expected_generation=generation)


def moved(attempt: AttemptId = A, *, generation: int = 1, **place: object) -> Submission:
    return on_pods(attempt, generation=generation, because="wait", only_waits=True, **place)


def agent(store: Store) -> LaunchStream:
    stream = store.launches("c", consumer="agent")
    stream.prepare()
    return stream


def counts(store: Store) -> dict[str, int]:
    return {place: count for place, count in store.places.counts([CELERY, SPOT, PODS]).items() if count}


def test_no_more_attempts_are_on_a_target_than_its_limit_says(store: Store) -> None:
    attempts = [AttemptId(str(number)) for number in range(5)]
    assert store.attempts.submit([on_celery(attempt, most=3) for attempt in attempts]) == [1, 1, 1, FULL, FULL]
    assert store.attempts.submit([on_celery(AttemptId("x"), most=3, owner=TWO)]) == [FULL]
    assert store.attempts.records(attempts)[3] is None
    assert store.client.llen("q") == 3
    assert counts(store) == {CELERY: 3}
    assert store.attempts.submit([on_celery(AttemptId("y"), most=4)]) == [1]


def test_one_that_is_on_a_full_target_may_be_submitted_there_again(store: Store) -> None:
    store.attempts.submit([on_celery(A, most=1)])
    store.attempts.advance(Change(attempt=A, to=State.LOST, generation=1))
    assert store.attempts.submit([on_celery(A, most=1, expected_generation=1)]) == [2]
    assert counts(store) == {CELERY: 1}


def test_a_limit_that_shrinks_lets_what_is_there_run(store: Store) -> None:
    store.attempts.submit([on_celery(A, most=2), on_celery(B, most=2)])
    assert store.attempts.submit([on_celery(C, most=1)]) == [FULL]
    assert store.attempts.claim(A, worker="w").is_granted
    store.attempts.advance(Change(attempt=A, to=State.SUCCEEDED, generation=2))
    assert store.attempts.submit([on_celery(C, most=1)]) == [FULL]
    store.attempts.revoke([B], reason="r")
    assert store.attempts.submit([on_celery(C, most=1)]) == [1]


@pytest.mark.parametrize("how", ["ended", "revoked", "erased"])
def test_each_end_gives_its_place_back(store: Store, how: str) -> None:
    store.attempts.submit([on_celery(A, most=1)])
    if how == "ended":
        store.attempts.claim(A, worker="w")
        store.attempts.advance(Change(attempt=A, to=State.FAILED, generation=2))
    elif how == "revoked":
        store.attempts.revoke([A], reason="r")
    else:
        [record] = store.attempts.records([A])
        assert record is not None
        store.erasing.erase(A, generation=record.generation, is_forced=True)
    assert counts(store) == {}


def test_a_move_leaves_everything_behind_and_keeps_the_attempt(store: Store) -> None:
    store.attempts.submit([on_celery(A)])
    [before] = store.attempts.records([A])
    assert store.attempts.submit([moved(A)]) == [2]
    [record] = store.attempts.records([A])
    assert record is not None
    assert before is not None
    assert (record.state, record.pool, record.target, record.generation) == (
        State.SUBMITTED,
        "kubernetes",
        "kubernetes",
        2,
    )
    assert (record.moves, record.moved_from, record.moved_because, record.launches) == (1, "celery", "wait", 0)
    assert record.queued_at == before.submitted_at
    assert record.moved_at == record.placed_at > 0
    assert counts(store) == {PODS: 1}
    assert store.attempts.live("celery") == set()
    assert store.attempts.live("kubernetes") == {A}
    [entry] = agent(store).take(count=9, wait_milliseconds=0)
    assert (entry.op, entry.attempt, entry.generation) == ("launch", A, 2)


def test_the_message_that_is_left_behind_starts_nothing(store: Store) -> None:
    store.attempts.submit([on_celery(A)])
    store.attempts.submit([moved(A)])
    claim = store.attempts.claim(A, worker="w", sent_generation=1)
    assert (claim.outcome, claim.state) == (Outcome.ILLEGAL, "submitted")
    assert store.attempts.claim(A, worker="w").outcome is Outcome.ILLEGAL  # of a release that does not say


def test_an_old_message_starts_nothing_after_a_way_back_to_workers(store: Store) -> None:
    store.attempts.submit([on_pods(A)])
    back = Placement(target="celery", route="etl-*", because="wait", only_waits=True)
    store.attempts.submit([submission(A, placement=back, expected_generation=1)])
    assert not store.attempts.claim(A, worker="w", sent_generation=1).is_granted
    assert store.attempts.claim(A, worker="w", sent_generation=2).is_granted


def test_who_claims_first_keeps_the_attempt(store: Store) -> None:
    store.attempts.submit([on_celery(A)])
    assert store.attempts.claim(A, worker="w", sent_generation=1).is_granted
    assert store.attempts.submit([moved(A), moved(A, generation=2)]) == [0, 0]
    assert counts(store) == {CELERY: 1}


def test_the_launch_that_is_left_behind_starts_nothing(store: Store) -> None:
    store.attempts.submit([on_pods(A, target="kubernetes:spot")])
    [old] = agent(store).take(count=9, wait_milliseconds=0)
    assert store.attempts.submit([moved(A)]) == [2]
    announced = Change(attempt=A, to=State.LAUNCHING, generation=old.generation, ack=LaunchAck("c", old.id))
    assert store.attempts.advance(announced).outcome is Outcome.STALE


def test_an_attempt_whose_pod_may_exist_does_not_move(store: Store) -> None:
    store.attempts.submit([on_pods(A, target="kubernetes:spot")])
    for state in (State.LAUNCHING, State.PENDING, State.RUNNING):
        store.attempts.advance(Change(attempt=A, to=state, generation=1))
        assert store.attempts.submit([moved(A)]) == [0]
    assert counts(store) == {SPOT: 1}


def test_a_move_to_a_full_target_changes_nothing(store: Store) -> None:
    store.attempts.submit([on_pods(B, most=1), on_celery(A)])
    assert store.attempts.submit([moved(A, most=1)]) == [FULL]
    assert store.attempts.claim(A, worker="w", sent_generation=1).is_granted


def test_a_move_within_a_pool_has_another_launch_number(store: Store) -> None:
    store.attempts.submit([on_pods(A, target="kubernetes:spot")])
    store.attempts.submit([moved(A)])
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.launch, record.launches, record.placed_launches) == (1, 0, 0)
    assert store.attempts.live("kubernetes") == {A}


def test_an_attempt_leaves_only_when_its_pod_is_gone(store: Store) -> None:
    store.attempts.submit([on_pods(A, target="kubernetes:spot")])
    stream = agent(store)
    stream.take(count=9, wait_milliseconds=0)
    store.attempts.advance(Change(attempt=A, to=State.PENDING, generation=1, fields={"pod": "p", "namespace": "n"}))
    assert store.places.leave({A: 1, B: 1}, because="wait") == [True, False]
    [entry] = stream.take(count=9, wait_milliseconds=0)
    assert (entry.op, entry.attempt, entry.generation, entry.pod, entry.namespace) == ("withdraw", A, 1, "p", "n")
    assert store.attempts.submit([moved(A)]) == [0]
    gone = Change(attempt=A, to=State.FAILED, generation=1, may_park=True, fields={"reason": "deleted"})
    assert store.attempts.advance(gone).is_granted
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.state, record.generation, record.leaving, record.launches) == (State.SUBMITTED, 2, "wait", 0)
    assert stream.take(count=9, wait_milliseconds=0) == []
    assert store.attempts.submit([moved(A, generation=2)]) == [3]
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.leaving, record.target, record.pod) == ("", "kubernetes", "p")  # the fields of the new target


def test_an_attempt_that_is_for_workers_by_now_is_not_launched_again(store: Store) -> None:
    store.attempts.submit([on_celery(A)])
    again = Change(attempt=A, to=State.SUBMITTED, relaunch=True, sources=(State.SUBMITTED,), generation=1)
    assert store.attempts.advance(again).outcome is Outcome.ILLEGAL
    assert store.client.keys(store.keys.launch("")) == []
    store.attempts.advance(Change(attempt=A, to=State.PENDING, generation=1))  # of a pod from before a loss of data
    again = Change(attempt=A, to=State.SUBMITTED, relaunch=True, sources=(State.PENDING,), generation=1)
    assert store.attempts.advance(again).state == "lost"


def test_a_pod_that_starts_first_keeps_the_attempt(store: Store) -> None:
    store.attempts.submit([on_pods(A, target="kubernetes:spot")])
    store.attempts.advance(Change(attempt=A, to=State.PENDING, generation=1))
    store.places.leave({A: 1}, because="wait")
    assert store.attempts.advance(Change(attempt=A, to=State.RUNNING, generation=1)).is_granted
    assert store.places.leave({A: 1}, because="wait") == [False]
    ended = Change(attempt=A, to=State.FAILED, generation=1, may_park=True, fields={"reason": "deleted"})
    assert store.attempts.advance(ended).state == "failed"
    assert counts(store) == {}


def test_the_last_pod_that_a_target_may_have_lets_an_attempt_leave(store: Store) -> None:
    first = on_pods(A, target="kubernetes:spot")
    store.attempts.submit([replace(first, fields={**first.fields, "pods_left": 2})])
    stream = agent(store)
    again = Change(attempt=A, to=State.SUBMITTED, relaunch=True, sources=(State.SUBMITTED, State.PENDING))
    store.attempts.advance(replace(again, generation=1))
    assert [entry.generation for entry in stream.take(count=9, wait_milliseconds=0)] == [1, 2]
    store.attempts.advance(Change(attempt=A, to=State.PENDING, generation=2))
    assert store.attempts.advance(replace(again, generation=2)).is_granted
    assert stream.take(count=9, wait_milliseconds=0) == []
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.state, record.generation, record.leaving, record.launches) == (State.SUBMITTED, 3, "tries", 2)


def test_places_that_were_lost_or_left_behind_are_repaired(store: Store) -> None:
    store.attempts.submit([on_celery(A), on_celery(B)])
    store.client.zadd(store.keys.place(CELERY), {"gone": 1})
    store.client.zrem(store.keys.place(CELERY), B)
    store.client.zadd(store.keys.place(PODS), {A: 1})
    store.places.recount(ONE)
    on_workers, in_pods = ("etl-*", "celery"), ("etl-*", "kubernetes")
    assert store.places.sweep([on_workers, in_pods], starts={}) == {on_workers: -1, in_pods: -1}
    assert counts(store) == {CELERY: 2}
    assert set(store.client.zrange(store.keys.place(CELERY), 0, -1)) == {A, B}


def test_what_has_ended_is_not_counted_again(store: Store) -> None:
    store.attempts.submit([on_celery(A)])
    store.attempts.revoke([A], reason="r")
    store.client.sadd(store.keys.owner(ONE), A)
    store.client.expire(store.keys.owner(ONE), 60)
    store.places.recount(ONE)
    assert counts(store) == {}


def test_a_place_is_swept_part_by_part(store: Store) -> None:
    attempts = [AttemptId(str(number)) for number in range(7)]
    store.attempts.submit([on_celery(attempt) for attempt in attempts])
    store.client.zadd(store.keys.place(CELERY), {f"gone-{number}": number for number in range(6)})
    place, starts = ("etl-*", "celery"), {("etl-*", "celery"): 0}
    for _ in range(9):
        starts = store.places.sweep([place], starts=starts, count=3)
        if starts[place] < 0:
            break
    assert set(store.client.zrange(store.keys.place(CELERY), 0, -1)) == set(attempts)


def test_a_pools_set_loses_what_is_in_another_pool(store: Store) -> None:
    store.attempts.submit([on_celery(A)])
    store.client.sadd(store.keys.live("kubernetes"), A)
    store.attempts.sweep("kubernetes")
    assert store.attempts.live("kubernetes") == set()


def test_a_place_that_holds_another_type_is_made_anew(store: Store) -> None:
    store.client.set(store.keys.place(CELERY), "x")
    assert store.places.counts([CELERY]) == {CELERY: 0}
    assert store.attempts.submit([on_celery(A, most=1)]) == [1]
    assert counts(store) == {CELERY: 1}


def test_an_attempt_of_an_older_release_moves_too(store: Store) -> None:
    store.attempts.submit([submission(A, queue_key="q", message="m")])
    store.client.hdel(store.keys.attempt(A), "target")
    assert store.attempts.submit([moved(A)]) == [2]
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.moves, record.moved_from) == (1, "celery")


def test_nothing_moves_after_redis_may_have_gone_back_to_older_data(store: Store) -> None:
    store.attempts.submit([on_celery(A), on_celery(B)])
    [record] = store.attempts.records([A])
    assert record is not None
    store.client.set(store.keys.unsettled, str(record.submitted_at), ex=15)
    assert store.attempts.submit([moved(A)]) == [0]
    store.client.delete(store.keys.unsettled)
    assert store.attempts.submit([moved(A)]) == [2]
