"""``status``, ``why``, ``tasks``, ``queues`` and ``events`` as people run them, on a real Redis."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from hybrid_executor.cli.events_command import read_batches
from hybrid_executor.cli.tables import asking
from hybrid_executor.events import STREAM_START, AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store
from tests.integration.cli.exit_codes import exit_code_of
from tests.integration.conftest import queue, set_options

Run = Callable[..., tuple[object, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command with the words of a command line: exit code, output, errors."""
    monkeypatch.setenv("COLUMNS", "80")
    commands = {value.name: value for name, value in vars(asking).items() if name.isupper() and hasattr(value, "args")}

    def run(name: str, *words: str) -> tuple[object, str, str]:
        parser = argparse.ArgumentParser()
        for argument in commands[name].args:
            argument.add_to_parser(parser)
        body = getattr(import_module(f"hybrid_executor.cli.{name}_command"), name)
        capsys.readouterr()
        code = exit_code_of(body, parser.parse_args(words))
        told = capsys.readouterr()
        assert all(len(line) <= 80 for line in told.out.splitlines()) or "-o" in words or name == "events", told.out
        return code, told.out, told.err

    return run


@pytest.fixture
def attempts(make_executor: Callable[..., Any], make_row: Callable[..., Any]) -> list[AttemptId]:
    """Two tasks that wait in the queue etl, which nobody serves."""
    executor = make_executor()
    found = queue(executor, make_row("first", queue="etl"), make_row("second", queue="etl"))
    executor.heartbeat()
    return found


@pytest.fixture(autouse=True)
def own_redis(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_options(monkeypatch, hybrid_executor__redis_url=redis_url, celery__broker_url=redis_url)


def test_status_says_what_is_wrong_first_and_exits_with_1(run: Run, attempts: list[AttemptId]) -> None:
    code, out, _ = run("status")
    assert code == 1
    said = " ".join(out.split())
    assert said.startswith("Instance airflow: 2 failures")
    assert (
        "2 attempts wait in queue etl, which no living worker serves. -> Run airflow hybrid worker --queues etl" in said
    )
    code, out, _ = run("status", "-o", "json")
    told = json.loads(out)
    assert code == 1
    assert [(view["name"], view["depth"], view["messages"]) for view in told["queues"]] == [("etl", 2, 2)]


def test_why_tells_a_story_and_exits_with_1_for_a_failed_task(
    run: Run, attempts: list[AttemptId], store: Store
) -> None:
    code, out, _ = run("why", "dag", "second")
    assert code == 0
    assert "Waits: 1 task is before it in queue etl. No living worker serves queue etl." in " ".join(out.split())
    store.attempts.advance(Change(attempt=attempts[1], to=State.FAILED, fields={"reason": "[red] broken \x1b[31m"}))
    code, out, _ = run("why", attempts[1])
    assert "[red] broken" in out
    assert "\x1b" not in out
    code, out, _ = run("why", "dag", "second", "run", "-o", "json")
    assert json.loads(out)["chapters"][0]["attempt"]["state"] == "failed"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nope", "task"), "Unknown Dag 'nope': 'airflow dags list' shows all."),
        (("dag", "nope"), "no run has such a task. 'airflow tasks list dag' shows the tasks"),
        (("3333",), "that is not the id of an attempt. To ask about a task write: airflow hybrid why DAG TASK [RUN]."),
        (("00000000-0000-0000-0000-000000000000",), "it has no record in Redis any more"),
    ],
)
def test_what_is_unknown_is_one_clear_line(
    run: Run, attempts: list[AttemptId], words: tuple[str, ...], message: str
) -> None:
    code, out, err = run("why", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_tasks_are_filtered(run: Run, attempts: list[AttemptId], store: Store) -> None:
    store.attempts.claim(attempts[0], worker="w@h")
    store.attempts.annotate({attempts[1]: {"note": "a long note " * 20}})
    code, out, _ = run("tasks")
    assert code == 0
    assert "dag.first" in out
    assert " ".join(out.split()).count("a long note") == 20

    def names(*words: str) -> list[str]:
        return [row["task_id"] for row in json.loads(run("tasks", *words, "-o", "json")[1])]

    assert sorted(names()) == ["first", "second"]
    assert names("--state", "running") == ["first"]
    assert names("--task", "second", "--dag", "dag", "--run", "run", "--queue", "etl", "--pool", "celery") == ["second"]
    assert names("--dag", "other") == []
    assert names("--older-than", "1h") == []
    assert len(names("--limit", "1")) == 1
    store.attempts.advance(Change(attempt=attempts[0], to=State.FAILED, fields={"reason": "broken"}))
    assert names("--failed") == ["first"]
    assert names() == ["second"]
    assert names("--ended") == ["second", "first"]
    assert "broken" in run("tasks", "--state", "failed")[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--state", "odd"), "--state 'odd' is unknown: write one of submitted"),
        (("--pool", "odd"), "--pool 'odd' has no attempts in Redis: write celery or kubernetes."),
        (("--older-than", "soon"), "--older-than 'soon' is not a duration: write 90s, 15m, 2h or 1d."),
        (("--limit", "0"), "--limit must be at least 1."),
    ],
)
def test_a_mistake_of_the_user_says_what_to_write(run: Run, words: tuple[str, ...], message: str) -> None:
    code, _, err = run("tasks", *words)
    assert code == 2
    assert message in err


def test_queues_exit_with_1_while_nobody_serves_one_with_work(
    run: Run, attempts: list[AttemptId], store: Store
) -> None:
    code, out, _ = run("queues")
    assert code == 1
    assert "no living worker serves" in " ".join(out.split())
    store.presence.announce("worker", "w@h", {"queues": "etl", "concurrency": "4"}, seconds=30)
    code, out, _ = run("queues")
    assert code == 0
    assert out.splitlines()[2].split()[:3] == ["etl", "celery", "2"]
    assert "4 of 4" in out


def test_events_are_one_json_object_per_line_with_the_task(run: Run, attempts: list[AttemptId], store: Store) -> None:
    store.attempts.claim(attempts[0], worker="w@h")
    code, out, _ = run("events")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["task_id"], row["state"]) for row in rows] == [
        ("first", "submitted"),
        ("second", "submitted"),
        ("first", "running"),
    ]
    assert rows[2]["holder"] == "w@h"
    assert run("events", "--since", "90s", "-o", "table")[1].count("\n") == 3


def test_events_are_followed_over_an_outage(attempts: list[AttemptId], store: Store, redis_url: str) -> None:
    following = read_batches(store, STREAM_START, is_following=True)
    assert [row["state"] for row in next(following)] == ["submitted", "submitted"]
    store.attempts.claim(attempts[0], worker="w@h")
    assert [row["state"] for row in next(following)] == ["running"]
    following.close()


def test_one_bad_record_ends_no_listing(run: Run, attempts: list[AttemptId], store: Store) -> None:
    store.client.set(store.keys.attempt("bad"), "x", ex=60)
    store.client.sadd(store.keys.live("celery"), "bad")
    store.client.hset(store.keys.attempt(attempts[0]), "submitted_at", "soon")
    for name in ("status", "tasks", "queues", "events"):
        code, out, _ = run(name)
        assert code in (0, 1)
        assert "etl" in out
    assert "holds a value that is not a record" in " ".join(run("tasks")[1].split())


def test_a_redis_that_is_gone_is_the_first_problem_of_status_and_an_error_of_the_others(
    run: Run, monkeypatch: pytest.MonkeyPatch, airflow_db: None
) -> None:
    set_options(monkeypatch, hybrid_executor__redis_url="redis://127.0.0.1:1/0")
    code, out, _ = run("status")
    assert code == 1
    assert "FAILURE: Redis cannot be reached" in out
    for name in ("tasks", "queues", "events"):
        code, _, err = run(name)
        assert code == 2
        assert "Redis cannot be reached" in err


def test_a_database_that_is_gone_is_a_problem_and_redis_is_shown(
    run: Run, attempts: list[AttemptId], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow import settings
    from sqlalchemy import create_engine
    from sqlalchemy.orm import sessionmaker

    nowhere = sessionmaker(bind=create_engine("sqlite:////nonexistent/airflow.db"))
    monkeypatch.setattr(settings, "NonScopedSession", nowhere)
    code, out, _ = run("status")
    assert code == 1
    assert "Airflow's database cannot be asked" in " ".join(out.split())
    assert "no living worker serves" in " ".join(out.split())
    code, out, _ = run("why", attempts[1])
    assert code == 0
    assert "No living worker serves queue etl" in out
