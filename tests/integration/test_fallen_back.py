"""A Redis that lost its last changes: a replica that took over too early, or a start from an older file."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.agent.data_loss import DataLoss
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Change, RedisSettings, Store, open_store
from tests.contract.store_world import submission
from tests.integration.conftest import QUEUE_OF_PODS, as_task_instance, queue, repaired, wait_for
from tests.integration.redis_installed import Server, find_server
from tests.integration.test_owner_repairs import rows_of
from tests.integration.workers.near_side import Scheduler, runs, start_worker_process
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.redis_server,
    pytest.mark.skipif(find_server() is None, reason="redis-server is not installed"),
]
MakeExecutor = Callable[..., Any]
MakeRow = Callable[..., Any]
_OPTIONS = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0")


class FallingServer:
    """A server that can be started again from an older file, at its old address."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._starts = 0
        self._server = Server(directory / "0", *_OPTIONS)
        self.port = self._server.port
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def save(self) -> None:
        """Write the file that it will fall back to."""
        self._server.client.save()
        shutil.copy(self._directory / str(self._starts) / "dump.rdb", self._directory / "older.rdb")

    def fall_back(self) -> None:
        """End at once, and start from the older file."""
        self._server.kill()
        self._starts += 1
        file = str(self._directory / "older.rdb")
        options = ("--port", str(self.port), "--dir", str(self._directory), "--dbfilename", Path(file).name)
        self._server = Server(self._directory / str(self._starts), *_OPTIONS, *options, port=self.port)

    def kill(self) -> None:
        self._server.kill()


@pytest.fixture
def falling(tmp_path: Path) -> Iterator[FallingServer]:
    server = FallingServer(tmp_path)
    yield server
    server.kill()


def test_a_replica_that_took_over_without_the_last_claim_grants_it_to_nobody_until_it_is_told(tmp_path: Path) -> None:
    master = Server(tmp_path / "master", *_OPTIONS)
    replica = Server(tmp_path / "replica", *_OPTIONS, "--replicaof", f"127.0.0.1 {master.port}")
    before, after = (
        open_store(RedisSettings(url=f"redis://127.0.0.1:{server.port}/0"), instance="test")
        for server in (master, replica)
    )
    try:
        old, new = AttemptId("old"), AttemptId("new")
        loss = DataLoss(before.events)
        loss.check()
        before.attempts.submit([submission(old)])
        keys = (before.keys.home, before.keys.epoch, before.keys.attempt(old))
        wait_until(lambda: replica.client.exists(*keys) == len(keys), what="the replica has all of it")
        replica.client.execute_command("REPLICAOF", "NO", "ONE")
        claim = before.attempts.claim(old, worker="first", token="1-x")
        assert claim.is_granted
        with pytest.raises(StoreUnavailable, match="when it is known which of them have run already"):
            after.attempts.claim(old, worker="second", token="2-x")
        time.sleep(0.005)  # the records' times are in milliseconds
        after.attempts.submit([submission(new)])
        assert after.attempts.claim(new, worker="second", token="3-x").is_granted
        assert after.events.present().unsettled_before > 0
        assert 0 < int(str(after.client.ttl(after.keys.unsettled))) <= 15
        assert before.events.present().unsettled_before == 0
    finally:
        for store in (before, after):
            store.close()
        for server in (master, replica):
            server.kill()


def test_a_worker_tells_a_redis_that_fell_back_what_it_runs_and_what_ended(
    falling: FallingServer, tmp_path: Path
) -> None:
    scheduler = Scheduler(falling.url)
    scheduler.store.events.present()
    ended_mark, running_mark, go_on = tmp_path / "ended", tmp_path / "running", tmp_path / "go-on"
    ended, running = scheduler.submit(
        scheduler.work(mark=str(ended_mark), exit=3),
        scheduler.work(mark=str(running_mark), until=str(go_on)),
    )
    falling.save()
    worker = start_worker_process(falling.url, "worker@test", tmp_path, concurrency=2)
    try:
        assert "exit code 3" in scheduler.wait_for(ended, State.FAILED, seconds=60).reason
        wait_for(lambda: bool(runs(running_mark)))
        held = scheduler.wait_for(running, State.RUNNING)
        wait_for(lambda: running in scheduler.running_on(worker))
        falling.fall_back()
        assert scheduler.record(ended).state is State.SUBMITTED
        assert "exit code 3" in scheduler.wait_for(ended, State.FAILED, seconds=30).reason
        again = scheduler.wait_for(running, State.RUNNING, seconds=30)
        assert (again.generation, again.holder) == (held.generation, held.holder)
        go_on.touch()
        scheduler.wait_for(running, State.SUCCEEDED)
        wait_for(lambda: not scheduler.messages() and not scheduler.unacknowledged(), seconds=40)
        assert (len(runs(ended_mark)), len(runs(running_mark))) == (1, 1)
    finally:
        worker.kill()
        scheduler.store.close()


def test_what_airflow_took_back_just_before_is_taken_back_again_whoever_it_belonged_to(
    falling: FallingServer, make_executor: MakeExecutor, make_row: MakeRow
) -> None:
    options = {"hybrid_executor__redis_url": falling.url, "celery__broker_url": falling.url}
    first, workload = make_executor(job_id=1, **options), make_row()
    store: Store = open_store(RedisSettings(url=falling.url), instance="airflow")
    try:
        [attempt] = queue(first, workload)
        first.heartbeat()
        falling.save()
        second = make_executor(job_id=2, **options)
        second.heartbeat()
        assert second.try_adopt_task_instances(rows_of(workload)) == []
        second.revoke_task(ti=as_task_instance(workload))
        falling.fall_back()
        [record] = store.attempts.records([attempt])
        assert record is not None
        assert (record.state, record.owner) == (State.SUBMITTED, "1")
        second.clock.advance(10)
        wait_for(lambda: (second.heartbeat(), store.attempts.records([attempt])[0].state is State.REVOKED)[1])
        assert not store.attempts.owned_by(OwnerId("1"))
    finally:
        store.close()


def test_an_attempt_that_ended_and_came_back_is_revoked_and_one_that_was_lost_is_sent_again(
    falling: FallingServer, make_executor: MakeExecutor, make_row: MakeRow
) -> None:
    executor = make_executor(hybrid_executor__redis_url=falling.url, celery__broker_url=falling.url)
    store: Store = open_store(RedisSettings(url=falling.url), instance="airflow")
    try:
        done, pod = make_row("done", state="success"), make_row("pod", state="success", queue=QUEUE_OF_PODS)
        attempts = queue(executor, done, pod)
        executor.heartbeat()
        store.attempts.claim(attempts[0], worker="w")
        falling.save()
        for attempt in attempts:
            store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED))
        executor.heartbeat()
        assert executor.running == set()
        executor.get_event_buffer()
        [late] = queue(executor, make_row("late"))
        executor.heartbeat()
        falling.fall_back()
        assert late not in store.attempts.owned_by(OwnerId("1"))
        executor.clock.advance(10)
        assert repaired(executor) == {}
        for record in store.attempts.records(attempts):
            assert record is not None
            assert record.state is State.REVOKED
        [sent] = store.attempts.records([late])
        assert sent is not None
        assert sent.state is State.SUBMITTED
        assert store.attempts.claim(late, worker="w").is_granted
    finally:
        store.close()
