"""The page docs/redis-cli.md in one shell, from top to bottom, on a real server with real records."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hybrid_executor.states import State
from hybrid_executor.store import Change, Store
from tests.documents import BLOCKS
from tests.integration.conftest import QUEUE_OF_PODS, make_task, queue
from tests.waiting import PATIENCE_SECONDS

SHOWN = [block for block in BLOCKS if block.page == "docs/redis-cli.md" and block.language == "bash"]
MARK = "---- next block ----"
pytestmark = pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")


@pytest.fixture
def printed(make_executor: Callable[..., Any], store: Store, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """What each block prints, by its text; the server has a task that runs, two that wait, and one that has ended."""
    executor = make_executor()
    runs, ended, _ = queue(executor, *(make_task(f"on_worker_{n}") for n in range(3)))
    queue(executor, make_task("in_pod", queue=QUEUE_OF_PODS))
    executor.heartbeat()
    for attempt in (runs, ended):
        store.attempts.claim(attempt, worker="celery@one")
    store.attempts.advance(Change(attempt=ended, to=State.FAILED, fields={"reason": "killed by SIGKILL"}))
    store.presence.announce("worker", "celery@one", {"queues": '["default"]', "slots": 4}, seconds=30)
    store.presence.announce("agent", "agent-1", {"pid": 1}, seconds=30)
    store.leases.take("watch:default:airflow", holder="agent-1", seconds=10)
    program = tmp_path / "redis-cli"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("redis-cli")} -p {urlsplit(redis_url).port} "$@"\n')
    program.chmod(0o755)
    text = f"\necho '{MARK}'\n".join(block.text for block in SHOWN)
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", text],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "ERR" not in done.stdout
    assert "WRONGTYPE" not in done.stdout
    parts = done.stdout.split(f"{MARK}\n")
    return {block.text: part for block, part in zip(SHOWN, parts, strict=True)}


def test_each_command_answers_its_question(printed: dict[str, str]) -> None:
    def answer(command: str) -> str:
        [found] = [output for text, output in printed.items() if command in text]
        return found

    where = answer("SUNION").splitlines()
    assert len(where) == 3
    assert [line.split()[1:] for line in where if "running" in line] == [
        ["dag", "on_worker_0", "-1", "default", "running", "celery@one"]
    ]
    assert [line.split()[1:5] for line in where if "kubernetes" in line] == [["dag", "in_pod", "-1", "kubernetes"]]
    assert "submitted_at" in answer("SRANDMEMBER")
    assert answer("SCARD").split() == ["2", "1"]
    counted = {kind: int(count) for count, kind in map(str.split, answer("uniq -c").splitlines())}
    assert counted["attempt"] == 4
    assert counted["live"] == 2
    assert int(answer("LLEN")) == 3
    assert answer("HLEN unacked").strip() == "0"
    assert answer("XLEN").split()[0] == "1"
    assert {"celery@one", "agent-1"} <= set(answer('ZRANGE "${P}agents"').split())
    assert '["default"]' in answer("${P}worker:$WORKER")
    assert answer("lease:*").split()[:2] == ["{hybrid:airflow}:lease:watch:default:airflow", "agent-1"]
    assert "killed by SIGKILL" in answer("XREVRANGE")
    redis = answer("INFO memory").replace("\r", "")
    assert "maxmemory_policy:noeviction" in redis
    assert "role:master" in redis
    home = redis.splitlines()[-1].strip()
    assert home
    assert f"master_replid:{home}" in redis


def test_no_command_shows_the_token_of_a_task(printed: dict[str, str]) -> None:
    assert "a-secret-token" not in "".join(printed.values())
