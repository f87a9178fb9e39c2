"""The outputs that README.md shows: each command is run on a server where that very thing is wrong, at 80 columns."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.documents import BLOCKS

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
    for option in ("REDIS_URL", "ROUTES", "PROFILES_FILE"):
        monkeypatch.delenv(f"AIRFLOW__HYBRID_EXECUTOR__{option}", raising=False)

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


def test_migrate_shows_the_one_line_that_changes(
    shown: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "[core]\nexecutor = CeleryKubernetesExecutor\n\n[celery]\nbroker_url = redis://redis:6379/0\n"
    Path("airflow.cfg").write_text(text)
    shown("migrate")
