"""Task processes die, messages come twice, Redis forgets: a real worker tells at once and runs nothing twice."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

from hybrid_executor.states import State
from tests.integration.workers.near_side import Scheduler, WorkerProcess, runs, wait_until


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_task_process_is_reported_at_once_with_the_signal(
    scheduler: Scheduler, worker: WorkerProcess, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    [attempt] = scheduler.submit(scheduler.work(mark=str(mark), sleep=60))
    [pid] = wait_until(lambda: runs(mark), what="the script runs")
    os.kill(pid, signal.SIGKILL)
    record = scheduler.wait_for(attempt, State.FAILED, seconds=3)
    assert "killed by signal 9 (SIGKILL)" in record.reason
    assert (record.exit_code, record.holder) == ("-9", worker.name)
    [after] = scheduler.submit(scheduler.work())
    scheduler.wait_for(after, State.SUCCEEDED)
    scheduler.wait_until_acknowledged()
    assert len(runs(mark)) == 1


def test_a_workload_does_not_outlive_its_task_process(
    scheduler: Scheduler, worker: WorkerProcess, tmp_path: Path
) -> None:
    mark, forked = tmp_path / "ran", tmp_path / "forked"
    scheduler.submit(scheduler.work(mark=str(mark), forks=str(forked), sleep=60))
    wait_until(lambda: forked.exists() and forked.read_text(), what="the workload has a process of its own")
    assert exists(int(forked.read_text()))
    os.kill(runs(mark)[0], signal.SIGKILL)
    wait_until(lambda: not exists(int(forked.read_text())), what="that process is gone")


def test_a_hard_time_limit_is_reported(scheduler: Scheduler) -> None:
    submission = scheduler.pool.prepare(scheduler.work(sleep=60))
    message = json.loads(submission.message)
    message["headers"]["timelimit"] = [1, None]
    scheduler.store.attempts.submit([replace(submission, message=json.dumps(message))])
    record = scheduler.wait_for(submission.attempt, State.FAILED)
    assert (record.category, "hard time limit of 1 s" in record.reason) == ("time_limit", True)


def test_a_redelivery_of_what_runs_is_ignored_however_long_it_runs(
    scheduler: Scheduler, worker: WorkerProcess, tmp_path: Path
) -> None:
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    work = scheduler.work(mark=str(mark), until=str(gate))
    [attempt] = scheduler.submit(work)
    wait_until(lambda: runs(mark), what="the script runs")
    scheduler.push(scheduler.pool.prepare(work).message)
    [after] = scheduler.submit(scheduler.work())
    scheduler.wait_for(after, State.SUCCEEDED)
    wait_until(lambda: not scheduler.messages(), what="the second delivery is taken")
    assert scheduler.record(attempt).state is State.RUNNING
    gate.touch()
    scheduler.wait_for(attempt, State.SUCCEEDED)
    assert len(runs(mark)) == 1


def test_a_ready_worker_says_who_it_is_and_what_it_runs(
    scheduler: Scheduler, worker: WorkerProcess, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    [attempt] = scheduler.submit(scheduler.work(until=str(gate), queue="other"))
    scheduler.wait_for(attempt, State.RUNNING)
    wait_until(lambda: attempt in scheduler.running_on(worker), what="it lists what it runs")
    fields = scheduler.worker_fields(worker.name)
    assert (fields["queues"], fields["concurrency"], fields["state"]) == ("default,other", "2", "running")
    assert int(fields["pid"]) == worker.process.pid
    assert json.loads(fields["running"]) == [attempt]
    assert int(fields["consumed_at"]) >= int(fields["started_at"])
    gate.touch()
    scheduler.wait_for(attempt, State.SUCCEEDED)


def test_the_end_of_what_ran_while_redis_lost_its_data_is_recorded(
    scheduler: Scheduler, worker: WorkerProcess, tmp_path: Path
) -> None:
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    [attempt] = scheduler.submit(scheduler.work(mark=str(mark), until=str(gate)))
    wait_until(lambda: runs(mark), what="the script runs")
    wait_until(lambda: attempt in scheduler.running_on(worker), what="it lists what it runs")
    scheduler.store.client.flushall()
    gate.touch()
    wait_until(lambda: scheduler.store.attempts.records([attempt])[0], what="the record is written again")
    record = scheduler.wait_for(attempt, State.SUCCEEDED)
    assert (record.owner, record.holder) == ("1", worker.name)
    assert len(runs(mark)) == 1
