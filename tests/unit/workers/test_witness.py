"""What task processes did is known to the worker's main process, and told to a Redis that has forgotten it."""

from __future__ import annotations

import os

import fakeredis
import pytest

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Store
from hybrid_workers.reports import Reports
from hybrid_workers.witness import Note, Witness
from tests.contract.store_world import A, B, submission
from tests.unit.workers.conftest import write_again_as_running


def claimed(attempt: AttemptId, generation: int = 2) -> Note:
    fields = {"holder": "w", "claim_token": "1-x"}
    return Note(attempt=attempt, generation=generation, owner=OwnerId("1"), pool="celery", fields=fields)


def ended(attempt: AttemptId, state: State, reason: str = "") -> Note:
    return Note(attempt=attempt, generation=2, end=state.value, fields={"reason": reason})


def make_store() -> Store:
    return Store(fakeredis.FakeRedis(decode_responses=True), instance="test")


def tell(witness: Witness, *notes: Note) -> None:
    """Tell notes from a process of its own."""
    pid = os.fork()
    if pid == 0:
        for note in notes:
            witness.note(note)
        os._exit(0)
    os.waitpid(pid, 0)


def test_what_fell_back_is_claimed_and_ended_again() -> None:
    store, witness = make_store(), Witness()
    witness.open()
    store.attempts.submit([submission(A), submission(B)])
    tell(witness, claimed(A), claimed(B), ended(B, State.FAILED, "why"))
    witness.gather({A})
    witness.say_again(store.attempts, active={A})
    running, failed = store.attempts.records([A, B])
    assert running is not None
    assert failed is not None
    assert (running.state, running.generation, running.holder) == (State.RUNNING, 2, "w")
    assert running.extra["claim_token"] == "1-x"
    assert (failed.state, failed.reason) == (State.FAILED, "why")


def test_what_has_moved_on_stays_as_it_is() -> None:
    store, witness = make_store(), Witness()
    witness.open()
    store.attempts.submit([submission(A), submission(B)])
    store.attempts.revoke([A], reason="taken back")
    store.attempts.claim(B, worker="other")
    store.attempts.submit([submission(B, expected_generation=2)])
    tell(witness, claimed(A), claimed(B))
    witness.gather({A, B})
    witness.say_again(store.attempts, active={A, B})
    revoked, again = store.attempts.records([A, B])
    assert revoked is not None
    assert again is not None
    assert (revoked.state, again.state, again.generation) == (State.REVOKED, State.SUBMITTED, 3)


def test_the_end_of_an_earlier_run_does_not_end_a_later_one() -> None:
    store, witness = make_store(), Witness()
    witness.open()
    store.attempts.submit([submission(A)])
    store.attempts.claim(A, worker="w")
    store.attempts.submit([submission(A, expected_generation=2)])
    store.attempts.claim(A, worker="other")
    tell(witness, claimed(A), ended(A, State.FAILED, "why"))
    witness.gather(set())
    witness.say_again(store.attempts, active=set())
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.state, record.generation, record.holder) == (State.RUNNING, 4, "other")


def test_what_is_long_over_is_forgotten_and_what_runs_is_not() -> None:
    store, witness = make_store(), Witness()
    witness.open()
    store.attempts.submit([submission(A), submission(B)])
    tell(witness, claimed(A), claimed(B), ended(B, State.SUCCEEDED))
    witness.gather({A}, now=0)
    witness.gather({A}, now=800)
    witness.gather({A}, now=1600)
    witness.say_again(store.attempts, active={A})
    running, forgotten = store.attempts.records([A, B])
    assert running is not None
    assert forgotten is not None
    assert (running.state, forgotten.state) == (State.RUNNING, State.SUBMITTED)


def test_more_notes_than_the_pipe_holds_block_nobody() -> None:
    witness = Witness()
    witness.open()
    tell(witness, *(claimed(AttemptId(f"a{number}")) for number in range(5000)))
    witness.gather(set())


@pytest.mark.parametrize("is_first", [True, False], ids=["before the end is told", "after it"])
@pytest.mark.parametrize(("process", "ends"), [(1, True), (2, False)], ids=["of its claim", "of another delivery"])
def test_how_a_process_died_is_told_though_redis_has_lost_the_record(is_first: bool, process: int, ends: bool) -> None:
    store, witness, reports = make_store(), Witness(), Reports()
    witness.open()
    tell(witness, claimed(A))
    witness.gather(set())
    reports.timed_out(A, 30.0, process=process)
    if is_first:
        write_again_as_running(store, A, holder="w")
    reports.deliver(store.attempts, worker="w", keep=witness.keep_end)
    if not is_first:
        write_again_as_running(store, A, holder="w")
    witness.say_lost_again(store.attempts)
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.state, record.category) == ((State.FAILED, "time_limit") if ends else (State.RUNNING, ""))


def test_how_a_process_died_is_told_again_if_redis_loses_it_just_after() -> None:
    store, witness, reports = make_store(), Witness(), Reports()
    witness.open()
    store.attempts.submit([submission(A)])
    store.attempts.claim(A, worker="w", token="1-x")
    tell(witness, claimed(A))
    witness.gather(set())
    reports.timed_out(A, 30.0, process=1)
    reports.deliver(store.attempts, worker="w", keep=witness.keep_end)
    witness.say_lost_again(store.attempts)
    store.client.flushall()
    witness.say_again(store.attempts, active=set())
    write_again_as_running(store, A, holder="w")
    witness.say_lost_again(store.attempts)
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.state, record.category) == (State.FAILED, "time_limit")
