"""The page where Redis or the database cannot be asked: it says so, soon, and works again when they do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.store import RedisSettings, open_store
from tests.integration.plugin.conftest import Html, Visitor
from tests.integration.redis_installed import Server
from tests.pretended import announce_worker, submit
from tests.redis_situations import SITUATIONS, frozen, programs, serve
from tests.waiting import wait_until

pytestmark = pytest.mark.redis


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = serve(tmp_path / "redis", programs()["valkey"])
    yield server
    server.kill()


@pytest.fixture
def visitor(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visitor]:
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__REDIS_URL", f"redis://127.0.0.1:{server.port}/0")
    store = open_store(RedisSettings(url=f"redis://127.0.0.1:{server.port}/0"), instance="airflow")
    announce_worker(store, "celery@a")
    submit(store, ["11111111-1111-1111-1111-111111111111"])
    store.close()
    visitor = Visitor()
    yield visitor
    visitor.close()


def is_shown(visitor: Visitor) -> bool:
    answer = visitor.get_loaded()
    return answer.status_code == 200 and "celery@a" in answer.text


def test_a_frozen_redis_is_said_to_be_silent_and_its_return_is_noticed(visitor: Visitor, server: Server) -> None:
    assert is_shown(visitor)
    visitor.app.state.context.reading.forget()
    with frozen(f"redis://127.0.0.1:{server.port}/0"):
        first = visitor.get()
        part = visitor.get(part="live")
    assert (first.status_code, "data-loading" in first.text) in ((200, True), (503, False))
    assert part.status_code == 503
    assert part.headers["x-hybrid-part"] == "live"
    page = Html(part.text)
    assert "The state of the executor is unknown" in page.text
    assert "Check that Redis runs" in page.text
    wait_until(lambda: is_shown(visitor), what="the page works again")


def test_a_redis_that_is_gone_is_named(visitor: Visitor, server: Server) -> None:
    server.kill()
    answer = visitor.get_loaded()
    assert answer.status_code == 503
    assert "Redis cannot be reached" in Html(answer.text).text
    task = visitor.get_loaded("task", dag_id="etl", run_id="run1", task_id="load")
    assert "Redis cannot be reached" in Html(task.text).text


@pytest.mark.parametrize("code", SITUATIONS)
def test_a_redis_that_refuses_is_quoted(visitor: Visitor, server: Server, code: str) -> None:
    with SITUATIONS[code](server):
        text = Html(visitor.get_loaded().text).text
    assert "Redis" in text
    assert "Problems" in text or "The state of the executor is unknown" in text


def test_many_who_ask_a_frozen_redis_do_not_hold_up_the_event_loop(visitor: Visitor, server: Server) -> None:
    context = visitor.app.state.context
    delays: list[float] = []

    async def beat(done: asyncio.Event) -> None:
        while not done.is_set():
            before = time.monotonic()
            await asyncio.sleep(0.01)
            delays.append(time.monotonic() - before)

    async def ask(number: int) -> Any:
        from hybrid_executor.plugin.page.reading import TooSlow
        from hybrid_executor.plugin.page.shown import read_picture

        try:
            question = lambda: read_picture(*context.deployment.open())  # noqa: E731
            return await context.reading.ask(number, question, patience_seconds=1.0)
        except TooSlow:
            return "too slow"

    async def all_of_them() -> list[Any]:
        done = asyncio.Event()
        beating = asyncio.create_task(beat(done))
        answers = await asyncio.gather(*(ask(number) for number in range(30)))
        done.set()
        await beating
        return answers

    with frozen(f"redis://127.0.0.1:{server.port}/0"):
        assert asyncio.run(all_of_them()) == ["too slow"] * 30
    assert len(delays) > 10


def test_a_wrong_configuration_says_what_to_write(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__ROUTES", "*=celeri")
    answer = visitor.get_loaded()
    assert answer.status_code == 503
    text = Html(answer.text).text
    assert "celeri" in text
    assert "Change the configuration of the API server" in text
    monkeypatch.delenv("AIRFLOW__HYBRID_EXECUTOR__ROUTES")
    wait_until(lambda: is_shown(visitor), what="the page works with the corrected configuration")


def test_a_database_that_cannot_be_asked_hides_everything(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("SELECT", {}, Exception("no connection"))

    monkeypatch.setattr("airflow.models.dag.DagModel.get_dag_id_to_team_name_mapping", refuse)
    answer = visitor.get_loaded()
    assert answer.status_code == 503
    text = Html(answer.text).text
    assert "Airflow's database does not answer" in text
    assert "celery@a" not in text
