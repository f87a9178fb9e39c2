"""What the main process reports of attempts whose task process is gone."""

from __future__ import annotations

from collections.abc import Callable

import fakeredis
import pytest

from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.states import State
from hybrid_executor.store import Store
from hybrid_workers.reports import Reports
from tests.unit.workers.conftest import ATTEMPT, WORKER, record_of

Submit = Callable[..., None]
KILLED = "Worker exited prematurely: signal 9 (SIGKILL) Job: 1."


@pytest.fixture
def reports() -> Reports:
    return Reports()


def test_the_attempt_of_a_killed_process_fails_with_the_signal(store: Store, submit: Submit, reports: Reports) -> None:
    submit()
    store.attempts.claim(ATTEMPT, worker=WORKER, token="42-x")
    reports.lost_process(ATTEMPT, KILLED, process=42)
    reports.deliver(store.attempts, worker=WORKER)
    record = record_of(store)
    assert (record.state, record.exit_code) == (State.FAILED, "-9")
    assert "SIGKILL" in record.reason


def test_an_attempt_that_was_not_claimed_yet_is_lost_and_may_be_submitted_again(
    store: Store, submit: Submit, reports: Reports
) -> None:
    submit()
    reports.lost_process(ATTEMPT, KILLED, process=42)
    reports.deliver(store.attempts, worker=WORKER)
    assert record_of(store).state is State.LOST


@pytest.mark.parametrize(("holder", "token"), [("celery@there", "42-x"), (WORKER, "43-x")])
def test_a_run_elsewhere_is_not_failed_by_the_loss_of_a_second_delivery(
    store: Store, submit: Submit, reports: Reports, holder: str, token: str
) -> None:
    submit()
    store.attempts.claim(ATTEMPT, worker=holder, token=token)
    reports.lost_process(ATTEMPT, KILLED, process=42)
    reports.deliver(store.attempts, worker=WORKER)
    assert record_of(store).state is State.RUNNING


def test_a_message_that_no_process_could_read_fails_its_attempt(store: Store, submit: Submit, reports: Reports) -> None:
    submit()
    reports.bad_message(ATTEMPT, "not decodable")
    reports.deliver(store.attempts, worker=WORKER)
    assert (record_of(store).state, record_of(store).reason) == (State.FAILED, "not decodable")


def test_what_redis_could_not_be_told_is_told_later(
    store: Store, server: fakeredis.FakeServer, submit: Submit, reports: Reports
) -> None:
    submit()
    store.attempts.claim(ATTEMPT, worker=WORKER, token="42-x")
    reports.timed_out(ATTEMPT, 60, process=42)
    server.connected = False
    with pytest.raises(StoreUnavailable):
        reports.deliver(store.attempts, worker=WORKER)
    server.connected = True
    reports.deliver(store.attempts, worker=WORKER)
    assert (record_of(store).category, len(reports)) == ("time_limit", 0)


def test_reports_of_ended_or_unknown_attempts_are_let_go(store: Store, reports: Reports) -> None:
    reports.lost_process(ATTEMPT, KILLED, process=42)
    reports.deliver(store.attempts, worker=WORKER)
    assert (len(reports), store.attempts.records([ATTEMPT])) == (0, [None])
