"""A real Celery worker on a real Redis: what becomes of the workloads and messages it is given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.pools.celery_message import build_message
from hybrid_executor.states import State
from tests.integration.workers.near_side import INSTANCE, Scheduler, WorkerProcess, callback_json, wait_until

pytestmark = pytest.mark.usefixtures("worker")


def test_a_submitted_workload_runs_once_and_is_recorded(scheduler: Scheduler, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    [attempt] = scheduler.submit(scheduler.work(mark=str(mark)))
    record = scheduler.wait_for(attempt, State.SUCCEEDED)
    assert (record.holder, record.reason, record.queue) == ("shared@test", "", "default")
    assert len(mark.read_text().split()) == 1
    assert scheduler.store.attempts.workload(attempt)[1] == ""


@pytest.mark.parametrize(
    ("script", "category", "words"),
    [
        ({"exit": 3}, "exit_code", "exit code 3"),
        ({"exit": -9}, "signal", "killed by signal 9 (SIGKILL), most likely because it ran out of memory"),
        ({"exit": -15}, "signal", "killed by signal 15 (SIGTERM)"),
        ({"raise": "the supervisor broke"}, "worker_error", "RuntimeError: the supervisor broke"),
        ({"memory_error": True}, "oom", "found no more memory"),
        ({"system_exit": 7}, "exit_code", "exit code 7"),
    ],
)
def test_a_failure_is_recorded_with_its_reason(
    scheduler: Scheduler, script: dict[str, Any], category: str, words: str
) -> None:
    [attempt] = scheduler.submit(scheduler.work(**script))
    record = scheduler.wait_for(attempt, State.FAILED)
    assert words in record.reason
    assert record.category == category


@pytest.mark.parametrize("text", ["this is not JSON", '{"type": "Nothing"}', "[]", '"text"'])
def test_a_workload_that_cannot_be_read_fails_alone_with_the_reason(scheduler: Scheduler, text: str) -> None:
    bad, good = scheduler.submit(scheduler.work(text=text), scheduler.work())
    record = scheduler.wait_for(bad, State.FAILED)
    assert record.category == "bad_message"
    assert "workload" in record.reason
    scheduler.wait_for(good, State.SUCCEEDED)


def test_a_message_whose_body_is_no_json_fails_its_attempt(scheduler: Scheduler) -> None:
    submission = scheduler.pool.prepare(scheduler.work())
    message = json.dumps(json.loads(submission.message) | {"body": "bm90IGpzb24="})
    scheduler.store.attempts.submit([replace(submission, message=message)])
    assert scheduler.wait_for(submission.attempt, State.FAILED).category == "bad_message"


@pytest.mark.parametrize("text", ["garbage", "{}", '{"body": 1}', "[1, 2]", "null"])
def test_garbage_in_the_queue_does_not_stop_the_worker(scheduler: Scheduler, worker: WorkerProcess, text: str) -> None:
    scheduler.push(text)
    [attempt] = scheduler.submit(scheduler.work())
    scheduler.wait_for(attempt, State.SUCCEEDED)
    assert worker.process.poll() is None


def test_a_second_delivery_of_what_ended_is_ignored(scheduler: Scheduler, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    work = scheduler.work(mark=str(mark))
    [attempt] = scheduler.submit(work)
    scheduler.wait_for(attempt, State.SUCCEEDED)
    scheduler.push(scheduler.pool.prepare(work).message)
    [after] = scheduler.submit(scheduler.work())
    scheduler.wait_for(after, State.SUCCEEDED)
    scheduler.wait_until_acknowledged()
    assert len(mark.read_text().split()) == 1
    assert scheduler.record(attempt).state is State.SUCCEEDED


def test_a_revoked_attempt_does_not_start(scheduler: Scheduler, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    submission = scheduler.pool.prepare(scheduler.work(mark=str(mark)))
    scheduler.store.attempts.submit([replace(submission, queue_key="")])
    scheduler.store.attempts.revoke([submission.attempt], reason="not wanted")
    scheduler.push(submission.message)
    [after] = scheduler.submit(scheduler.work())
    scheduler.wait_for(after, State.SUCCEEDED)
    scheduler.wait_until_acknowledged()
    assert not mark.exists()


def test_a_message_whose_record_is_lost_writes_it_anew_and_runs(scheduler: Scheduler) -> None:
    attempt = AttemptId("11111111-2222-3333-4444-555555555555")
    text = callback_json(attempt, {})
    scheduler.push(build_message(attempt, text, queue="default", owner="7", instance=INSTANCE, generation=1))  # type: ignore[arg-type]
    wait_until(lambda: scheduler.store.attempts.records([attempt])[0], what="the record is there")
    record = scheduler.wait_for(attempt, State.SUCCEEDED)
    assert (record.owner, record.kind, record.queue) == ("7", "callback", "default")


def test_no_token_reaches_the_log(scheduler: Scheduler, worker: WorkerProcess) -> None:
    broken = scheduler.work().payload[:-10]
    attempts = scheduler.submit(scheduler.work(), scheduler.work(text=broken))
    scheduler.wait_for(attempts[0], State.SUCCEEDED)
    scheduler.wait_for(attempts[1], State.FAILED)
    assert "a-token-that-nobody-may-see" not in worker.output


def test_task_processes_show_their_task_and_are_idle_before_and_after(
    scheduler: Scheduler, worker: WorkerProcess, tmp_path: Path
) -> None:
    def titles() -> list[str]:
        processes = psutil.Process(worker.process.pid).children()
        found = sorted(" ".join(process.cmdline()).rstrip("\0 ") for process in processes)
        return [title for title in found if title != nursery]

    nursery = "airflow hybrid worker -- nursery of parsed Dag files"
    idle = ["airflow hybrid worker -- shared@test: idle"] * 2
    wait_until(lambda: titles() == idle, what=titles)
    [attempt] = scheduler.submit(scheduler.work(until=str(tmp_path / "go")))
    busy = f"airflow hybrid worker -- shared@test: attempt {attempt}"
    wait_until(lambda: titles() == [busy, *idle[1:]], what=titles)
    # Airflow's supervisor sets a title of its own and leaves it.
    [other] = scheduler.submit(scheduler.work(title="airflow supervisor: a task", until=str(tmp_path / "go")))
    wait_until(lambda: titles() == [busy, "airflow supervisor: a task"], what=titles)
    (tmp_path / "go").touch()
    for done in (attempt, other):
        scheduler.wait_for(done, State.SUCCEEDED)
    wait_until(lambda: titles() == idle, what=titles)
