"""One message: claimed once, run, and its end reported whatever happens to Redis meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import fakeredis
import httpx
import pytest

from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import SCHEMA, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Claim, Restoration, Store
from hybrid_workers.run import Disposition, Patience, WorkloadRuns
from hybrid_workers.witness import Note
from tests.unit.workers.conftest import ATTEMPT, WORKER, delivery, record_of, workload_text

Submit = Callable[..., None]
PATIENCE = Patience(claim_seconds=0.05, report_seconds=0.3, longest_pause_seconds=0.01)


class Runs:
    """What was run, and what it answered."""

    def __init__(self, *, answer: int = 0, does: Callable[[], object] | None = None) -> None:
        self.workloads: list[Any] = []
        self._answer = answer
        self._does = does

    def __call__(self, workload: Any) -> int:
        self.workloads.append(workload)
        if self._does is not None:
            self._does()
        return self._answer


def handler(store: Store, runs: Runs) -> WorkloadRuns:
    return WorkloadRuns(lambda: store, instance="test", run=runs, patience=PATIENCE)


def raising(error: BaseException) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


def test_a_submitted_attempt_is_claimed_run_and_recorded(store: Store, submit: Submit) -> None:
    submit()
    states: list[tuple[State, str]] = []
    runs = Runs(does=lambda: states.append((record_of(store).state, record_of(store).holder)))
    disposition, end = handler(store, runs).handle(delivery())
    assert (disposition, end.is_success) == (Disposition.ENDED, True)
    assert states == [(State.RUNNING, WORKER)]
    assert record_of(store).state is State.SUCCEEDED
    assert [workload.callback.id for workload in runs.workloads] == ["callback-id"]


@pytest.mark.parametrize("state", ["running", "succeeded", "revoked"])
def test_an_attempt_that_runs_or_ended_is_not_run_again(store: Store, submit: Submit, state: str) -> None:
    submit()
    if state == "revoked":
        store.attempts.revoke([ATTEMPT], reason="not wanted")
    elif state == "running":
        store.attempts.claim(ATTEMPT, worker="celery@there", token="1-x")
    else:
        handler(store, Runs()).handle(delivery(worker="celery@there"))
    assert record_of(store).state.value == state
    before = record_of(store)
    runs = Runs()
    assert handler(store, runs).handle(delivery())[0] is Disposition.IGNORED
    assert (runs.workloads, record_of(store)) == ([], before)


def test_a_claim_asked_again_because_its_answer_was_lost_is_granted(store: Store, submit: Submit) -> None:
    submit()
    first = store.attempts.claim(ATTEMPT, worker=WORKER, token="7-x")
    again = store.attempts.claim(ATTEMPT, worker=WORKER, token="7-x")
    other = store.attempts.claim(ATTEMPT, worker=WORKER, token="7-y")
    assert (first.is_granted, again, other.is_granted) == (True, first, False)


def test_with_redis_away_the_message_goes_back_and_nothing_runs(store: Store, server: fakeredis.FakeServer) -> None:
    server.connected = False
    runs = Runs()
    assert handler(store, runs).handle(delivery())[0] is Disposition.LATER
    assert runs.workloads == []


def test_an_end_is_reported_when_redis_is_back(store: Store, server: fakeredis.FakeServer, submit: Submit) -> None:
    submit()
    left = 3

    class Plug:
        def __call__(self) -> Store:
            nonlocal left
            if runs.workloads:
                left -= 1
                server.connected = left <= 0
            return store

    runs = Runs()
    disposition, _ = WorkloadRuns(Plug(), instance="test", run=runs, patience=PATIENCE).handle(delivery())
    assert (disposition, record_of(store).state) == (Disposition.ENDED, State.SUCCEEDED)


def noted(store: Store, runs: Runs | None = None) -> list[tuple[str, int]]:
    """Handle a message; return the ends and generations that the worker's main process is told of."""
    notes: list[Note] = []
    handling = WorkloadRuns(lambda: store, instance="test", run=runs or Runs(), patience=PATIENCE, on_note=notes.append)
    assert handling.handle(delivery())[0] is Disposition.ENDED
    return [(note.end, note.generation) for note in notes]


def test_an_end_whose_answer_was_lost_is_noted_too(
    store: Store, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's main process tells it again if Redis loses it."""
    submit()
    advance = store.attempts.advance

    def unanswered(change: Change) -> Claim:
        monkeypatch.setattr(store.attempts, "advance", advance)
        advance(change)
        raise StoreUnavailable("the answer is lost")

    monkeypatch.setattr(store.attempts, "advance", unanswered)
    assert noted(store) == [("", 2), ("succeeded", 2)]


def test_an_end_whose_record_is_lost_once_more_while_it_is_reported_is_noted_too(
    store: Store, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its scheduler may write the record again, as that of one that runs."""
    submit()
    advance = store.attempts.advance

    def lose_everything_before(change: Change) -> Claim:
        store.client.flushall()
        return advance(change)

    monkeypatch.setattr(store.attempts, "advance", lose_everything_before)
    assert noted(store) == [("", 2), ("succeeded", 2)]


def test_an_end_that_is_ignored_is_noted_in_the_generation_of_its_claim(store: Store, submit: Submit) -> None:
    """A Redis that falls back to before the revocation has it running again."""
    submit()
    runs = Runs(does=lambda: store.attempts.revoke([ATTEMPT], reason="by hand"))
    assert noted(store, runs) == [("", 2), ("succeeded", 2)]
    assert record_of(store).state is State.REVOKED


def test_an_end_that_cannot_be_reported_in_time_gives_the_slot_free(
    store: Store, server: fakeredis.FakeServer, submit: Submit, caplog: pytest.LogCaptureFixture
) -> None:
    submit()
    runs = Runs(does=lambda: setattr(server, "connected", False))
    with caplog.at_level(logging.ERROR):
        assert handler(store, runs).handle(delivery())[0] is Disposition.ENDED
    assert "could not be reported" in caplog.text


def test_an_end_that_cannot_be_reported_in_time_is_given_to_the_main_process(
    store: Store, server: fakeredis.FakeServer, submit: Submit
) -> None:
    submit()
    runs = Runs(does=lambda: setattr(server, "connected", False))
    assert handler(store, runs).handle(delivery())[1].untold == "succeeded"


def test_a_message_of_a_higher_schema_goes_back_to_the_queue(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    runs = Runs()
    assert handler(store, runs).handle(delivery(schema=SCHEMA + 1))[0] is Disposition.LATER
    assert "upgrade this worker" in caplog.text
    assert runs.workloads == []


def test_a_message_of_another_instance_goes_back_to_the_queue(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    runs = Runs()
    assert handler(store, runs).handle(delivery(instance="another"))[0] is Disposition.LATER
    assert runs.workloads == []
    assert "give one of them another queue" in caplog.text


def test_a_missing_record_is_written_anew_from_the_message(store: Store) -> None:
    handler(store, Runs()).handle(delivery(owner=OwnerId("5")))
    record = record_of(store)
    assert (record.owner, record.kind, record.key, record.queue) == ("5", "callback", "callback-id", "q")
    assert record.state is State.SUCCEEDED


def test_a_message_of_upstreams_executor_runs_too(store: Store) -> None:
    runs = Runs()
    assert handler(store, runs).handle(delivery(instance="", owner=OwnerId("")))[0] is Disposition.ENDED
    assert len(runs.workloads) == 1


def test_an_unreadable_message_that_nobody_knows_is_dropped_without_a_record(store: Store) -> None:
    disposition, _ = handler(store, Runs()).handle(delivery(payload="no JSON", instance=""))
    assert (disposition, store.attempts.records([ATTEMPT])) == (Disposition.IGNORED, [None])


def test_an_unreadable_message_fails_its_attempt_without_showing_it(store: Store, submit: Submit) -> None:
    submit()
    handler(store, Runs()).handle(delivery(payload=workload_text(callback="secret-data")))
    record = record_of(store)
    assert (record.state, record.category) == (State.FAILED, "bad_message")
    assert "secret" not in record.reason


def test_what_the_api_server_runs_elsewhere_is_not_failed(store: Store, submit: Submit) -> None:
    from airflow.sdk.exceptions import TaskAlreadyRunningError

    submit()
    runs = Runs(does=raising(TaskAlreadyRunningError("runs")))
    assert handler(store, runs).handle(delivery())[0] is Disposition.IGNORED
    assert (record_of(store).state, record_of(store).category) == (State.LOST, "duplicate")


def test_a_refusal_of_the_api_server_is_told_with_its_likely_cause(store: Store, submit: Submit) -> None:
    request = httpx.Request("PATCH", "http://api/run")
    error = httpx.HTTPStatusError("Forbidden", request=request, response=httpx.Response(403, request=request))
    submit()
    disposition, end = handler(store, Runs(does=raising(error))).handle(delivery())
    assert (disposition, end.category) == (Disposition.ENDED, "refused")
    assert "Refused by the API server with 403 (its token may have expired" in record_of(store).reason


def test_an_api_server_out_of_reach_is_named_with_its_option_and_the_owner_decides(
    store: Store, submit: Submit
) -> None:
    submit()
    handler(store, Runs(does=raising(httpx.ConnectError("refused")))).handle(delivery())
    record = record_of(store)
    assert (record.state, record.category) == (State.LOST, "api_unreachable")
    assert "[core] execution_api_server_url" in record.reason


def test_the_end_of_a_superseded_run_changes_nothing(store: Store, submit: Submit) -> None:
    submit()

    def supersede() -> None:
        store.attempts.advance(Change(attempt=ATTEMPT, to=State.LOST))
        submit(expected_generation=2)

    handler(store, Runs(does=supersede)).handle(delivery())
    assert (record_of(store).state, record_of(store).generation) == (State.SUBMITTED, 3)


def test_an_end_is_recorded_though_redis_lost_the_record_meanwhile(store: Store, submit: Submit) -> None:
    submit()
    runs = Runs(does=lambda: store.client.flushall())
    handler(store, runs).handle(delivery())
    record = record_of(store)
    assert (record.state, record.owner, record.holder) == (State.SUCCEEDED, "1", WORKER)


def test_an_end_is_recorded_though_the_heartbeat_writes_the_lost_record_again_in_between(
    store: Store, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit()
    claim, lost = store.attempts.claim, []
    written = Restoration(
        attempt=ATTEMPT,
        owner=OwnerId("1"),
        pool="celery",
        state=State.RUNNING,
        generation=2,
        fields={"holder": WORKER},
        replaces_older=True,
    )

    def claim_again(*args: Any, **rest: Any) -> Claim:
        answer = claim(*args, **rest)
        if lost:
            store.attempts.restore([written])
        return answer

    monkeypatch.setattr(store.attempts, "claim", claim_again)
    handler(store, Runs(does=lambda: lost.append(store.client.flushall()))).handle(delivery())
    assert (record_of(store).state, record_of(store).generation) == (State.SUCCEEDED, 2)


def test_celerys_way_to_end_a_task_process_is_left_to_celery(store: Store, submit: Submit) -> None:
    submit()
    with pytest.raises(SystemExit):
        handler(store, Runs(does=raising(SystemExit(-(256 - 15))))).handle(delivery())
    assert record_of(store).state is State.RUNNING
