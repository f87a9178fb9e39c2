"""The outputs that README.md shows: each command is run on a server where that very thing is wrong, at 80 columns."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from hybrid_executor.store import Store
from tests.documents import BLOCKS
from tests.integration.conftest import queue

SHOWN = {
    block.commands[0][2]: block.text for block in BLOCKS if block.page == "README.md" and block.language == "console"
}


def lines(text: str) -> list[str]:
    """Return the lines of an output with every number as 0, since times and counts differ."""
    return [re.sub(r"\d+", "0", line.rstrip()) for line in text.splitlines() if line.strip()]


@pytest.fixture
def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], airflow_db: None
) -> Callable[[str], None]:
    """Return a function that runs a command and finds the lines of the page in its output, in their order."""
    from airflow.cli.cli_parser import get_parser

    monkeypatch.setenv("COLUMNS", "80")

    def check(name: str) -> None:
        command, *expected = SHOWN[name].splitlines()
        arguments = get_parser().parse_args(command.removeprefix("$ airflow ").split())
        capsys.readouterr()
        with suppress(SystemExit):
            arguments.func(arguments)
        printed = capsys.readouterr().out
        left = iter(lines(printed))
        missing = [line for line in lines("\n".join(expected)) if line != "..." and line not in left]
        assert missing == [], printed

    return check


def test_every_shown_output_is_compared() -> None:
    tested = re.findall(r'shown\("([\w-]+)"\)', Path(__file__).read_text(encoding="utf-8"))
    assert sorted(SHOWN) == sorted(tested)


def test_doctor_names_an_eviction_policy_that_deletes_tasks(
    shown: Callable[[str], None], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__REDIS_URL", redis_url)
    monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", redis_url)
    with redis.Redis.from_url(redis_url, decode_responses=True) as server:
        client: Any = server
        before = client.config_get("maxmemory*")
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "1gb")
        try:
            shown("doctor")
        finally:
            for option in ("maxmemory", "maxmemory-policy"):
                client.config_set(option, before[option])


@pytest.fixture
def waiting(
    make_executor: Callable[..., Any], make_row: Callable[..., Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task waits in a queue that no worker serves. Its names on the page are nicer."""
    executor = make_executor()
    store.presence.announce("worker", "celery@a", {"queues": "default", "slots": "4", "running": "[]"}, seconds=60)
    queue(executor, make_row("load", queue="reports"))
    executor.heartbeat()
    for name, text in SHOWN.items():
        monkeypatch.setitem(SHOWN, name, text.replace("sales", "dag").replace("manual__2026-11-25", "run"))


def test_why_says_what_a_task_waits_for(shown: Callable[[str], None], waiting: None) -> None:
    shown("why")


def test_status_names_a_queue_without_a_worker(shown: Callable[[str], None], waiting: None) -> None:
    shown("status")


def test_migrate_shows_the_one_line_that_changes(
    shown: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "[core]\nexecutor = CeleryKubernetesExecutor\n\n[celery]\nbroker_url = redis://redis:6379/0\n"
    Path("airflow.cfg").write_text(text)
    shown("migrate")
