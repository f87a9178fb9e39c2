"""A Redis that answers and refuses, under an agent: it says so once, waits, and goes on where it was."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hybrid_executor.states import State
from tests.integration.agent.conftest import World, wait_until
from tests.integration.redis_installed import Server
from tests.redis_situations import RIGHTS, SITUATIONS


@pytest.fixture
def redis_url(server: Server) -> str:
    server.client.flushall()
    return f"redis://127.0.0.1:{server.port}/0"


@pytest.mark.parametrize("code", ["OOM", "READONLY", "MISCONF"])
def test_a_pod_that_ends_during_a_refusal_is_recorded_after_it_and_the_trouble_is_said_once(
    server: Server, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    world.start_agent()
    gate = tmp_path / "gate"
    [attempt] = world.submit(f"while [ ! -e {gate} ]; do sleep 0.05; done")
    world.wait_for(State.RUNNING, [attempt])
    with caplog.at_level(logging.INFO), SITUATIONS[code](server):
        wait_until(lambda: "Redis unavailable, trying again: Redis refuses writes" in caplog.text, what="it is said")
        gate.touch()
        wait_until(lambda: [pod for pod in world.pods() if pod["status"]["phase"] == "Succeeded"] or not world.pods())
        assert world.record(attempt).state is State.RUNNING
    world.wait_for(State.SUCCEEDED, [attempt], seconds=40)
    said = [record for record in caplog.records if "Redis unavailable" in record.getMessage()]
    assert len(said) == 1, caplog.text
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("code", RIGHTS)
def test_a_pod_that_ends_while_the_agent_may_do_nothing_is_recorded_when_it_may_again(
    server: Server, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    world.start_agent()
    gate = tmp_path / "gate"
    [attempt] = world.submit(f"while [ ! -e {gate} ]; do sleep 0.05; done")
    world.wait_for(State.RUNNING, [attempt])
    with caplog.at_level(logging.INFO), RIGHTS[code](server):
        gate.touch()
        wait_until(lambda: [pod for pod in world.pods() if pod["status"]["phase"] == "Succeeded"], what="the pod ends")
        wait_until(lambda: "Redis refuses" in caplog.text, what="it is said")
        assert world.pods() != [], "the pod waits for its record"
    world.wait_for(State.SUCCEEDED, [attempt], seconds=40)
    wait_until(lambda: not world.pods(), what="no pod left")
