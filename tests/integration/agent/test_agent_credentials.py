"""An agent whose credentials change while it works."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from hybrid_executor.states import State
from tests.integration.agent.conftest import World, wait_until
from tests.kube_front import KubeFront


@pytest.fixture
def front(world: World) -> Iterator[KubeFront]:
    opened = KubeFront(world.sandbox, world.directory)
    opened.tokens = {"marked-1"}
    opened.write_kubeconfig({"token": "marked-1"})
    yield opened
    # Agents end first: their last calls must find the front.
    world.stop_agents()
    opened.close()


def test_pods_are_created_watched_and_deleted_after_each_rotation_of_the_token(
    world: World, front: KubeFront, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.start_agent(kubernetes={"config_file": str(front.folder / "front-kubeconfig")})
    for turn in (2, 3):
        front.tokens = {f"marked-{turn}"}
        front.write_kubeconfig({"token": f"marked-{turn}"})
        world.wait_for(State.SUCCEEDED, world.submit(count=3))
        wait_until(lambda: not world.pods("default"), what="the pods to be deleted")
    assert "grant" not in caplog.text
    assert "marked-" not in caplog.text


def test_rejected_credentials_are_called_expired_and_tasks_wait_until_they_are_renewed(
    world: World, front: KubeFront, caplog: pytest.LogCaptureFixture
) -> None:
    front.tokens = {"marked-new"}
    world.start_agent(kubernetes={"config_file": str(front.folder / "front-kubeconfig")}, is_watching=False)
    attempts = world.submit(count=2)
    wait_until(lambda: "credentials expired or rejected" in caplog.text)
    wait_until(lambda: all("credentials expired or rejected" in world.record(attempt).note for attempt in attempts))
    front.write_kubeconfig({"token": "marked-new"})
    world.wait_for(State.SUCCEEDED, attempts, seconds=40)
    assert "grant" not in caplog.text
    assert "marked-" not in caplog.text
