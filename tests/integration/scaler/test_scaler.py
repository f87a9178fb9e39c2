"""What an autoscaler is told, over HTTP and from a real Redis."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import uvicorn

from hybrid_executor.config import DictConfig, Settings, read_settings
from hybrid_executor.errors import ConfigError
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.scaler.server import make_app
from hybrid_executor.standalone.ports import choose_port
from hybrid_executor.states import State
from hybrid_executor.store import Change, RedisSettings, Store, Submission, open_store
from tests.keda import ScaledDeployment
from tests.processes import QUIET
from tests.redis_situations import frozen, programs, serve
from tests.waiting import PATIENCE_SECONDS, wait_until

ROUTES = "pods-*=kubernetes, *=celery"
Submit = Callable[..., list[AttemptId]]


class Served:
    """The application behind a real server, for as long as the context is open."""

    def __init__(self, app: Any) -> None:
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), daemon=True)

    def __enter__(self) -> Served:
        self._thread.start()
        address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._client = httpx.Client(base_url=address, timeout=PATIENCE_SECONDS, trust_env=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self._client.get(path, headers=headers)


def settings_of(url: str) -> Settings:
    return read_settings(DictConfig({"hybrid_executor": {"redis_url": url, "routes": ROUTES}}))


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    opened = open_store(RedisSettings(url=redis_url, answer_seconds=1.0, retries=0), instance="airflow")
    yield opened
    opened.close()


@pytest.fixture
def submit(store: Store) -> Submit:
    """Return a function that submits attempts to a queue."""

    def run(queue: str, count: int = 1, *, pool: str = "celery", cluster: str = "") -> list[AttemptId]:
        attempts = [AttemptId(str(uuid4())) for _ in range(count)]
        fields = {"dag_id": "d", "task_id": "t", "run_id": "r", "kind": "task", "queue": queue, "cluster": cluster}
        store.attempts.submit(
            [
                Submission(attempt=attempt, owner=OwnerId("1"), pool=pool, fields=fields, payload="{}", cluster=cluster)
                for attempt in attempts
            ]
        )
        return attempts

    return run


@pytest.fixture
def ask(store: Store, redis_url: str) -> Callable[[str], dict[str, Any]]:
    """Return a function that asks a new server, which remembers nothing."""

    def run(path: str) -> dict[str, Any]:
        with Served(make_app(store, settings_of(redis_url))) as client:
            answer = client.get(path)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    return run


def test_a_queue_needs_slots_for_what_waits_and_for_what_runs(
    store: Store, submit: Submit, ask: Callable[[str], dict[str, Any]]
) -> None:
    attempts = submit("reports", 5)
    submit("other")
    for attempt in attempts[:2]:
        store.attempts.claim(attempt, worker="w")
    found = ask("/queues/reports")
    assert found.pop("age") >= 0
    assert found == {"queue": "reports", "value": 5, "waiting": 3, "running": 2, "elsewhere": 0}
    store.attempts.advance(Change(attempt=attempts[0], to=State.SUCCEEDED))
    assert ask("/queues/reports")["value"] == 4
    assert {name: queue["value"] for name, queue in ask("/queues").items()} == {"other": 1, "reports": 4}


def test_a_queue_without_attempts_needs_none(ask: Callable[[str], dict[str, Any]]) -> None:
    assert ask("/queues/team/a b")["value"] == 0


def test_an_attempt_in_a_state_of_a_newer_release_counts(
    store: Store, submit: Submit, ask: Callable[[str], dict[str, Any]]
) -> None:
    [attempt] = submit("reports")
    store.client.hset(store.keys.attempt(attempt), "state", "hibernating")
    assert ask("/queues/reports")["value"] == 1


def test_a_cluster_needs_an_agent_while_an_attempt_is_live(
    store: Store, submit: Submit, ask: Callable[[str], dict[str, Any]]
) -> None:
    assert ask("/agents/default") == {"cluster": "default", "value": 0, "waiting": 0, "live": 0}
    first, second = submit("pods-a", 2, pool="kubernetes", cluster="default")
    assert ask("/agents/default") == {"cluster": "default", "value": 2, "waiting": 2, "live": 2}
    for attempt in (first, second):
        store.attempts.advance(Change(attempt=attempt, to=State.RUNNING))
    assert ask("/agents/default") == {"cluster": "default", "value": 1, "waiting": 0, "live": 2}
    assert ask("/agents")["default"]["live"] == 2


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/queues/pods-a", "Queue pods-a is routed to kubernetes, not to workers: ask /agents/default"),
        ("/agents/elsewhere", "No route leads to a cluster elsewhere; the clusters of the routes are: default"),
    ],
)
def test_a_wrong_question_is_told_what_to_ask(store: Store, redis_url: str, path: str, words: str) -> None:
    with Served(make_app(store, settings_of(redis_url))) as client:
        answer = client.get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": words})


def test_only_the_token_in_the_file_gets_an_answer(store: Store, redis_url: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    with Served(make_app(store, settings_of(redis_url), token_file=path)) as client:

        def status(token: str | None) -> int:
            headers = {"Authorization": token} if token is not None else {}
            return client.get("/queues/q", headers=headers).status_code

        assert [status(token) for token in (None, "first", "Bearer second", "Bearer first")] == [401, 401, 401, 200]
        path.write_text("second")
        assert [status("Bearer first"), status("Bearer second")] == [401, 200]
        path.unlink()
        assert status("Bearer second") == 503
        assert client.get("/health").json() == {"status": "ok"}
    path.write_text(" ")
    with pytest.raises(ConfigError, match="is empty"):
        make_app(store, settings_of(redis_url), token_file=path)


def test_many_questions_at_once_are_one_reading(store: Store, submit: Submit, redis_url: str) -> None:
    submit("reports", 3)
    with Served(make_app(store, settings_of(redis_url))) as client, ThreadPoolExecutor(20) as threads:
        before = store.client.info("commandstats").get("cmdstat_time", {}).get("calls", 0)
        values = list(
            threads.map(
                lambda index: client.get(f"/queues/reports{'' if index % 2 else '-x'}").json()["value"], range(200)
            )
        )
        asked = store.client.info("commandstats")["cmdstat_time"]["calls"] - before
    assert sorted(set(values)) == [0, 3]
    # TIME is asked a few times in each reading.
    assert asked < 50


def test_a_frozen_redis_is_no_work_unknown_and_the_answer_comes_in_time(tmp_path: Path) -> None:
    server = serve(tmp_path / "redis", programs()["valkey"])
    store = open_store(
        RedisSettings(url=f"redis://127.0.0.1:{server.port}/0", answer_seconds=60, retries=0), instance="airflow"
    )
    try:
        with Served(make_app(store, settings_of(f"redis://127.0.0.1:{server.port}/0"))) as client:
            assert client.get("/queues/q").status_code == 200
            with frozen(f"redis://127.0.0.1:{server.port}/0"):
                wait_until(lambda: client.get("/queues/q").status_code == 503, what="the last answer to be too old")
                began = time.monotonic()
                answer = client.get("/queues/q")
                assert time.monotonic() - began < 20  # KEDA's limit is 3 s; this machine may be busy
                assert (answer.status_code, answer.json()) == (503, {"error": "Redis has not answered within 2.5 s"})
                assert client.get("/health").status_code == 200
            wait_until(lambda: client.get("/queues/q").status_code == 200, what="Redis to be asked again")
    finally:
        store.close()
        server.kill()


def test_an_unreachable_redis_is_not_no_work(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{choose_port()}/0"
    store = open_store(RedisSettings(url=url, retries=0), instance="airflow")
    with Served(make_app(store, settings_of(url))) as client:
        for path in ("/queues/q", "/queues", "/agents/default", "/agents"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert "Redis cannot be reached" in answer.json()["error"]
    store.close()


def test_replicas_follow_the_work_and_go_to_zero_only_when_there_is_none(
    store: Store, submit: Submit, ask: Callable[[str], dict[str, Any]]
) -> None:
    workers = ScaledDeployment(target=4, cooldown=300, fallback=2)
    now = 0.0

    def poll(seconds: float = 30) -> int:
        nonlocal now
        now += seconds
        return workers.poll(ask("/queues/reports")["value"], now=now)

    assert poll() == 0
    attempts = submit("reports", 1)
    assert poll() == 1
    attempts += submit("reports", 16)
    assert poll() == 5  # ceil(17 / 4)
    for attempt in attempts:
        store.attempts.claim(attempt, worker="w")
    assert poll() == 5
    for attempt in attempts[1:]:
        store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED))
    # One still runs, for hours: one replica stays, however long that takes.
    assert [poll(seconds=3600) for _ in range(3)] == [1, 1, 1]
    # An error never ends anything.
    assert [workers.poll(None, now=now + 30 * index) for index in range(1, 5)] == [1, 1, 2, 2]
    store.attempts.advance(Change(attempt=attempts[0], to=State.SUCCEEDED))
    assert poll(seconds=30) == 1
    assert poll(seconds=301) == 0
    assert workers.poll(None, now=now + 30) == 0


def test_the_command_serves_until_it_is_told_to_stop(redis_url: str, submit: Submit, tmp_path: Path) -> None:
    submit("reports", 2)
    port = choose_port()
    token = tmp_path / "token"
    token.write_text("secret")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        **QUIET,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__HYBRID_EXECUTOR__REDIS_URL": redis_url,
        "AIRFLOW__CORE__EXECUTOR": "hybrid_executor.HybridExecutor",
    }
    airflow = str(Path(sys.executable).with_name("airflow"))
    command = [airflow, "hybrid", "scaler", "--port", str(port), "--token-file", str(token)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert f"instance airflow at http://127.0.0.1:{port}" in line, line
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/queues/reports", headers={"Authorization": "Bearer secret"}
        )

        def value() -> int:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                return int(json.load(answer)["value"])

        assert value() == 2
        second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert f"The scaler cannot listen on 127.0.0.1:{port}" in second.stderr
        assert len(second.stderr.strip().splitlines()) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.communicate()
