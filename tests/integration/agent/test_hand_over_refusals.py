"""A Redis that answers and refuses, in the middle of hand-overs: each workload is handed over once, and said once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hybrid_executor.states import State
from tests.faulty_sandbox import Fault
from tests.integration.agent.conftest import World
from tests.integration.agent.warm_world import WarmWorld
from tests.integration.redis_installed import Server
from tests.redis_situations import SITUATIONS
from tests.waiting import wait_until


@pytest.fixture
def redis_url(server: Server) -> str:
    server.client.flushall()
    return f"redis://127.0.0.1:{server.port}/0"


@pytest.mark.parametrize(("code", "profile"), [("OOM", "warm"), ("READONLY", "plain"), ("LOADING", "warm")])
def test_a_workload_that_was_handed_over_when_redis_refuses_runs_once_and_its_end_is_recorded_later(
    server: Server, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture, code: str, profile: str
) -> None:
    warm, gate = WarmWorld(world, idle=2 if profile == "warm" else 0), tmp_path / "gate"
    warm.options = {"pod_token": "stdin"}
    warm.write_template(task=f"until [ -e {gate} ]; do sleep 0.05; done")
    warm.start_agent()
    if profile == "warm":
        warm.wait_for_ready(2)
    slow = world.sandbox.faults.add(Fault("slow", path="/attach", delay_seconds=2))
    attempts = warm.submit(count=2, profile=profile)
    wait_until(lambda: world.sandbox.faults.hits(slow) >= 2, what="both are being handed over")
    with caplog.at_level(logging.INFO), SITUATIONS[code](server):
        wait_until(lambda: "Redis unavailable, trying again" in caplog.text, what="it is said")
        wait_until(lambda: len(warm.ran()) == 2, what=lambda: f"both run: {warm.ran()}")
        gate.touch()
        wait_until(lambda: not [pod for pod in world.pods() if _runs(pod, warm)], what="their pods have ended")
    world.wait_for(State.SUCCEEDED, attempts)
    wait_until(world.launch_stream_is_empty)
    warm.check_once(attempts)
    said = [record for record in caplog.records if "Redis unavailable" in record.getMessage()]
    assert len(said) == 1, caplog.text
    assert not [record for record in caplog.records if record.exc_info], caplog.text


def _runs(pod: dict[str, object], warm: WarmWorld) -> bool:
    metadata, status = pod["metadata"], pod["status"]
    assert isinstance(metadata, dict)
    assert isinstance(status, dict)
    used = {name for names in warm.ran().values() for name in names}
    return metadata["name"] in used and status["phase"] == "Running"
