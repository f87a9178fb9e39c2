"""Revoke, forget and reconcile on a real server, with Airflow's database and an executor that works."""

from __future__ import annotations

import json
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import redis

from hybrid_executor.cli import attempts_command, reconcile_command
from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Record, Store
from tests.integration.conftest import QUEUE_OF_PODS, queue, set_options
from tests.redis_situations import full, programs, read_only, serve
from tests.store_view import queue_length

MakeExecutor = Callable[..., Any]
MakeRow = Callable[..., Any]
Told = tuple[int, str, str]


class Commands:
    """The commands as they are called from a shell."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def _run(self, command: Callable[[Namespace], None], **arguments: Any) -> Told:
        self._capsys.readouterr()
        code = 0
        try:
            command(Namespace(**{"output": "table", "json": False, "dry_run": False, **arguments}))
        except SystemExit as error:
            code = int(error.code or 0)
        told = self._capsys.readouterr()
        return code, told.out, told.err

    def revoke(self, *attempts: str, **options: Any) -> Told:
        arguments = {"attempts": list(attempts), "dag": None, "task": None, "run": None, "yes": True, **options}
        return self._run(attempts_command.revoke, **arguments)

    def forget(self, *attempts: str, **options: Any) -> Told:
        return self._run(attempts_command.forget, **{"attempts": list(attempts), "force": False, **options})

    def reconcile(self, **options: Any) -> Told:
        return self._run(reconcile_command.reconcile, **{"timeout": 30.0, **options})

    def differences(self, **options: Any) -> dict[str, dict[str, Any]]:
        """Return what reconcile found, by kind."""
        _, out, _ = self.reconcile(output="json", **options)
        return {row["kind"]: row for row in json.loads(out)}


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    set_options(monkeypatch, core__executor="hybrid_executor.HybridExecutor", hybrid_executor__routes="*=celery")
    monkeypatch.setattr("hybrid_executor.operations.reconcile._SECOND_LOOK_SECONDS", 0.0)
    return Commands(capsys)


@pytest.fixture
def living_scheduler(airflow_db: None) -> Iterator[str]:
    """A scheduler job that Airflow counts as alive; its id."""
    from airflow.jobs.job import Job
    from sqlalchemy import delete

    from tests.integration import rows

    session = rows.open_session()
    session.execute(delete(Job))
    job = Job(job_type="SchedulerJob", state="running", heartrate=5)
    job.latest_heartbeat = datetime.now(timezone.utc) + timedelta(minutes=10)
    session.add(job)
    session.commit()
    yield str(job.id)
    session.execute(delete(Job))
    session.commit()
    session.close()


def record_of(store: Store, attempt: AttemptId) -> Record:
    [record] = store.attempts.records([attempt])
    assert record is not None
    return record


class Beating:
    """An executor whose scheduler goes on while a command waits for it."""

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scheduler")

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            self._executor.heartbeat()

    def __enter__(self) -> Any:
        self._thread.start()
        return self._executor

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


# ---- revoke ----


def test_a_waiting_attempt_is_revoked_with_its_message_and_the_command_says_what_follows_in_airflow(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, commands: Commands
) -> None:
    executor = make_executor()
    waiting, other = queue(executor, make_row("one"), make_row("two"))
    executor.heartbeat()
    assert queue_length(store, "default") == 2

    code, out, _ = commands.revoke(dag="dag", task="one", dry_run=True)
    assert code == 0
    assert "it does not start. The task stays queued in Airflow" in " ".join(out.split())
    assert record_of(store, waiting).state is State.SUBMITTED, "a dry run changes nothing"

    code, out, _ = commands.revoke(waiting)
    assert (code, record_of(store, waiting).state) == (0, State.REVOKED)
    assert f"{waiting}: revoked (dag.one run try 1), and its message is removed from the queue" in out
    assert record_of(store, waiting).reason == "Revoked by a user"
    assert (queue_length(store, "default"), record_of(store, other).state) == (1, State.SUBMITTED)
    executor.heartbeat()
    assert {key.task_id for key in executor.running} == {"two"}, "its slot is free"

    code, out, _ = commands.revoke(waiting)
    assert (code, out.splitlines()[-1]) == (0, f"{waiting}: has revoked already"), "it may be repeated"


def test_revoking_asks_first_and_needs_a_terminal_for_that(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = make_executor()
    [waiting] = queue(executor, make_row())
    executor.heartbeat()
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    code, _, err = commands.revoke(waiting, yes=False)
    assert (code, err) == (
        2,
        "airflow hybrid: This needs a confirmation, and there is no terminal to ask on: add --yes.\n",
    )
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    code, out, _ = commands.revoke(waiting, yes=False)
    assert (code, out.splitlines()[-1]) == (1, "Nothing was revoked.")
    assert record_of(store, waiting).state is State.SUBMITTED
    assert commands.revoke(waiting, yes=False, output="json")[0] == 2
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert commands.revoke(waiting, yes=False)[0] == 0
    assert record_of(store, waiting).state is State.REVOKED


def test_what_runs_on_a_worker_goes_on_and_revoke_says_so(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, commands: Commands
) -> None:
    executor = make_executor()
    [running] = queue(executor, make_row())
    executor.heartbeat()
    store.attempts.claim(running, worker="celery@a")
    _, out, _ = commands.revoke(running, output="json")
    [row] = json.loads(out)
    assert (row["state"], row["is_done"]) == ("running", True)
    assert row["afterwards"].startswith("its task runs on celery@a and continues to its end")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "No attempt given: write ids of attempts"),
        ({"attempts": ["gone"]}, "There is no record of the attempt gone"),
        ({"attempts": ["a"], "dag": "d"}, "Write either ids of attempts or --dag, not both"),
        ({"dag": "d", "task": "t", "run": "r"}, "There is no live attempt of d.t in the run r"),
    ],
)
def test_a_selection_that_means_nothing_is_a_mistake_that_is_explained(
    options: dict[str, Any], words: str, redis_url: str, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_options(monkeypatch, hybrid_executor__redis_url=redis_url, celery__broker_url=redis_url)
    code, _, err = commands.revoke(*options.pop("attempts", []), **options)
    assert code == 2
    assert err.startswith(f"airflow hybrid: {words}")


@pytest.mark.parametrize("situation", [read_only, full])
def test_a_redis_that_refuses_writes_is_said_before_anything_is_asked(
    situation: Any, commands: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    server = serve(tmp_path, programs()["valkey"])
    try:
        url = f"redis://127.0.0.1:{server.port}/0"
        set_options(monkeypatch, hybrid_executor__redis_url=url, celery__broker_url=url)
        server.client.hset(
            "{hybrid:airflow}:attempt:a", mapping={"id": "a", "state": "submitted", "generation": 1, "pool": "celery"}
        )
        server.client.expire("{hybrid:airflow}:attempt:a", 600)
        with situation(server):
            for run in (commands.revoke, commands.forget):
                code, _, err = run("a")
                assert code == 2
                assert err.startswith("airflow hybrid: Redis ")
            code, _, err = commands.reconcile()
            assert (code, err.startswith("airflow hybrid: Redis ")) == (2, True)
            assert server.client.hget("{hybrid:airflow}:attempt:a", "state") in ("submitted", b"submitted")
    finally:
        server.kill()


# ---- forget ----


def test_ended_and_orphaned_attempts_are_forgotten_and_live_ones_are_kept_with_the_reason(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, commands: Commands, living_scheduler: str
) -> None:
    executor = make_executor(job_id=int(living_scheduler))
    ended, waiting, running = queue(executor, make_row("ended"), make_row("waiting"), make_row("running"))
    executor.heartbeat()
    store.attempts.advance(Change(attempt=ended, to=State.FAILED))
    store.attempts.claim(running, worker="celery@a")
    code, out, err = commands.forget(ended, waiting, running)
    assert code == 1
    assert out == f"{ended}: forgotten (dag.ended run try 1, failed)\n"
    assert f"{waiting}: is kept (dag.waiting run try 1): the scheduler with the job id {living_scheduler}" in err
    assert f"{running}: is kept (dag.running run try 1): its task runs on celery@a." in err
    assert store.attempts.records([ended, waiting])[0] is None

    code, out, _ = commands.forget(waiting, dry_run=True, force=True)
    assert (code, out) == (0, f"{waiting}: would be forgotten (dag.waiting run try 1, submitted)\n")
    assert commands.forget(waiting, force=True)[0] == 0
    assert store.attempts.records([waiting]) == [None]
    assert waiting not in store.attempts.live("celery") | store.attempts.owned_by(executor.context.owner)
    assert store.client.exists(store.keys.payload(waiting)) == 0


def test_an_attempt_whose_scheduler_is_gone_and_that_airflow_has_ended_is_forgotten(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, commands: Commands
) -> None:
    executor = make_executor(job_id=77)
    orphan, awaited = queue(executor, make_row("orphan", state="success"), make_row("awaited"))
    executor.heartbeat()
    code, out, err = commands.forget(orphan, awaited)
    assert (code, out) == (1, f"{orphan}: forgotten (dag.orphan run try 1, submitted)\n")
    assert "its scheduler is gone, and Airflow still waits for it" in err


def test_a_record_of_another_type_is_forgotten_too(
    store: Store, redis_url: str, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_options(monkeypatch, hybrid_executor__redis_url=redis_url, celery__broker_url=redis_url)
    store.client.set(store.keys.attempt("broken"), "x", ex=600)
    code, out, _ = commands.forget("broken")
    assert (code, out.startswith("broken: forgotten (")) == (0, True)
    assert store.attempts.records([AttemptId("broken")]) == [None]


# ---- reconcile ----


def test_a_deployment_in_order_has_no_differences(
    make_executor: MakeExecutor, make_row: MakeRow, commands: Commands, living_scheduler: str
) -> None:
    executor = make_executor(job_id=int(living_scheduler))
    queue(executor, make_row("one"), make_row("two"))
    executor.heartbeat()
    assert commands.reconcile() == (0, "No differences.\n", "")


def test_members_of_sets_that_have_ended_are_removed_and_missing_ones_are_added(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, commands: Commands, living_scheduler: str
) -> None:
    executor = make_executor(job_id=int(living_scheduler))
    [attempt] = queue(executor, make_row())
    executor.heartbeat()
    store.client.sadd(store.keys.live("celery"), "ended")
    store.client.srem(store.keys.owner(living_scheduler), attempt)
    found = commands.differences(dry_run=True)
    assert set(found) == {"ended in a set", "missing in a set"}
    assert "ended" in store.attempts.live("celery"), "a dry run changes nothing"

    code, out, _ = commands.reconcile()
    assert code == 0
    assert out.splitlines() == [
        "1 attempt in the set live:celery has ended or has no record.",
        "  Repaired: removed from the set.",
        f"dag.task run try 1 is not in the set of its scheduler, job {living_scheduler}.",
        "  Repaired: added to the set.",
        "2 differences, 2 repaired, 0 left.",
    ]
    assert store.attempts.live("celery") == store.attempts.owned_by(executor.context.owner) == {attempt}


def test_messages_without_an_attempt_are_named_and_left_to_the_worker_that_takes_them(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, commands: Commands, living_scheduler: str
) -> None:
    executor = make_executor(job_id=int(living_scheduler))
    queue(executor, make_row())
    executor.heartbeat()
    store.presence.announce("worker", "w", {"life": "l", "queues": "default", "state": "running"}, seconds=60)
    assert commands.differences() == {}
    store.client.lpush("default", "of an attempt that has ended")
    code, out, _ = commands.reconcile()
    assert code == 1
    assert "2 messages are in queue default, and 1 attempt waits there." in out
    assert "Left to the worker: the worker that takes a message of an ended attempt drops it." in " ".join(out.split())


def test_what_only_the_scheduler_may_repair_is_repaired_by_it_at_once_when_it_is_asked(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, commands: Commands, living_scheduler: str
) -> None:
    executor = make_executor(job_id=int(living_scheduler), hybrid_executor__repair_interval="86400")
    [attempt] = queue(executor, make_row())
    executor.heartbeat()
    executor.heartbeat()
    store.client.delete(store.keys.attempt(attempt), store.keys.payload(attempt), "default")
    found = commands.differences(dry_run=True)
    assert found["no record"]["repairer"] == "scheduler"
    with Beating(executor):
        found = commands.differences()
    assert found["no record"]["done"] == "asked the schedulers to repair now"
    assert not found["no record"]["is_left"]
    assert record_of(store, attempt).state is State.SUBMITTED
    assert queue_length(store, "default") == 1


def test_a_message_that_nobody_has_is_named_and_left_to_a_scheduler_that_has_to_be_alive(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, commands: Commands, living_scheduler: str
) -> None:
    executor = make_executor(job_id=int(living_scheduler))
    [attempt] = queue(executor, make_row())
    executor.heartbeat()
    store.client.delete("default")
    _age(store, attempt)
    code, out, _ = commands.reconcile(timeout=0.0)
    assert code == 1
    assert "dag.task run try 1 waits, but no queue and no worker has its message." in out
    assert "Not repaired yet (asked the schedulers to repair now)" in out


def test_attempts_that_airflow_does_not_wait_for_are_revoked(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, commands: Commands, living_scheduler: str
) -> None:
    executor = make_executor(job_id=int(living_scheduler))
    gone = make_executor(job_id=int(living_scheduler) + 1000)
    [given_up] = queue(executor, make_row("given-up", state="failed"))
    [orphan] = queue(gone, make_row("orphan", state="success"))
    executor.heartbeat()
    gone.heartbeat()
    found = commands.differences()
    assert found["not awaited"]["what"] == "dag.given-up run try 1 is submitted, but Airflow has the task as failed"
    assert found["no scheduler"]["done"] == "revoked"
    assert {record_of(store, one).state for one in (given_up, orphan)} == {State.REVOKED}


def test_a_launch_that_no_stream_has_is_put_on_it_again_and_a_cluster_that_does_not_answer_is_named(
    make_executor: MakeExecutor,
    make_row: MakeRow,
    store: Store,
    commands: Commands,
    living_scheduler: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(_KUBECONFIG)
    set_options(
        monkeypatch,
        hybrid_executor__routes="kubernetes=kubernetes, *=celery",
        kubernetes_executor__in_cluster="False",
        kubernetes_executor__config_file=str(kubeconfig),
    )
    executor = make_executor(job_id=int(living_scheduler))
    [attempt] = queue(executor, make_row(queue=QUEUE_OF_PODS))
    executor.heartbeat()
    store.client.delete(store.keys.launch("default"))
    _age(store, attempt)
    code, out, err = commands.reconcile()
    assert code == 2
    assert "Repaired: put on the launch stream again." in out
    assert err.startswith(
        "airflow hybrid reconcile: The pods of namespace default of cluster default were not compared"
    )
    assert store.launches("default", consumer="").launches_waiting() == {attempt}
    assert "missing pod" not in out


def test_a_database_that_does_not_answer_is_an_error_and_no_reason_to_repair(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow import settings
    from sqlalchemy import create_engine
    from sqlalchemy.orm import sessionmaker

    executor = make_executor()
    [attempt] = queue(executor, make_row())
    executor.heartbeat()
    monkeypatch.setattr(settings, "NonScopedSession", sessionmaker(create_engine("sqlite:////nowhere/airflow.db")))
    for code, _, err in (commands.reconcile(), commands.forget(attempt)):
        assert code == 2
        assert err.startswith("airflow hybrid: Airflow's database cannot be asked (OperationalError: ")
    assert record_of(store, attempt).state is State.SUBMITTED


def test_a_frozen_redis_ends_the_command_with_one_line(
    redis_url: str, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_options(monkeypatch, hybrid_executor__redis_url=redis_url, celery__broker_url=redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.client_pause(60_000, all=False)
        try:
            code, _, err = commands.reconcile()
        finally:
            client.client_unpause()
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("airflow hybrid: Redis ")


def _age(store: Store, attempt: AttemptId) -> None:
    """Let a record be a minute older than it is."""
    submitted_at = record_of(store, attempt).submitted_at
    store.client.hset(store.keys.attempt(attempt), "submitted_at", submitted_at - 60_000)


_KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "http://127.0.0.1:9"}}]
contexts: [{name: here, context: {cluster: here, user: me}}]
users: [{name: me, user: {token: t}}]
"""
