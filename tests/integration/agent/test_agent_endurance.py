"""Watches that hang, rights that are missing, agents that take over: what keeps the news coming."""

from __future__ import annotations

import threading
from http import HTTPStatus

import pytest

from hybrid_executor.agent.main import Agent
from hybrid_executor.agent.ownership import Ownership
from hybrid_executor.errors import KubeError, StoreUnavailable
from hybrid_executor.states import State

from .conftest import World, wait_until


def phase_of(world: World, pod: str) -> str:
    try:
        return str(world.kube.get_pod("default", pod)["status"].get("phase"))
    except KubeError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return ""  # its name is in the record before it is created


def test_a_watch_that_hangs_is_made_up_for_by_the_periodic_list(world: World) -> None:
    world.start_agent(settings=world.settings(relist_seconds=1.0))
    world.sandbox.faults.stall_watches()
    attempts = world.submit("exit 0", count=3)
    world.wait_for(State.SUCCEEDED, attempts)
    world.sandbox.faults.resume_watches()
    wait_until(lambda: not world.pods(), what="no pod left")
    assert all(world.states(attempt).count("succeeded") == 1 for attempt in attempts)


def test_another_agent_resumes_from_the_stored_version_without_a_list(world: World) -> None:
    agent = world.start_agent()
    [attempt] = world.submit(world.held)
    [record] = world.wait_for(State.RUNNING, [attempt])
    wait_until(
        lambda: world.store.version("default", "default").get_resource_version(), what="a version to resume from"
    )
    agent.stop()
    world.let_end()
    wait_until(lambda: phase_of(world, record.pod) == "Succeeded")
    # Only the events since that version can tell.
    world.sandbox.faults.deny("list")
    world.start_agent("agent-2")
    world.wait_for(State.SUCCEEDED, [attempt])
    assert world.states(attempt).count("succeeded") == 1


def test_an_agent_goes_on_if_redis_does_not_answer_one_of_its_first_questions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, asked = threading.Event(), list[str]()
    check = Ownership.check

    def answered_at_last(self: Ownership) -> None:
        asked.append("")
        if len(asked) == 1:
            raise StoreUnavailable("lost")
        check(self)
        stop.set()

    monkeypatch.setattr(Ownership, "check", answered_at_last)
    agent = Agent(settings=world.settings(), kubernetes_settings=world.kubernetes_settings(), name="agent-1", hook=None)
    assert agent.run(stop, has_lost_parent=lambda: False) == 0
    assert len(asked) == 2


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_missing_right_to_see_pods_is_told_and_asked_about_slowly(
    world: World, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    denied = world.sandbox.faults.fail(
        403, verb=verb, path="/pods$", times=None, reason="Forbidden", message="no right"
    )
    world.start_agent(is_watching=False)
    [attempt] = world.submit("sleep 0.5")
    wait_until(lambda: "grant the agent's account get, list and watch on pods there" in caplog.text)
    # Launching goes on meanwhile: the pod runs and ends.
    pod = wait_until(lambda: world.record(attempt).pod)
    wait_until(lambda: phase_of(world, pod) == "Succeeded")
    assert world.sandbox.faults.hits(denied) == 1
    assert caplog.text.count("grant the agent's account") == 1


def test_a_right_to_mark_pods_that_is_missing_holds_up_no_task(world: World) -> None:
    denied = world.sandbox.faults.fail(403, verb="patch", times=None, reason="Forbidden", message="cannot patch")
    world.start_agent(kubernetes={"delete_worker_pods": "False"})
    world.wait_for(State.SUCCEEDED, world.submit("exit 0", count=20))
    world.wait_for(State.SUCCEEDED, world.submit("sleep 0.5"))
    # Four threads may be asking when the first answer comes.
    assert 1 <= world.sandbox.faults.hits(denied) <= 4


def test_an_api_server_that_restarts_while_pods_are_created_and_end_loses_none(world: World) -> None:
    ran = world.directory / "ran"
    world.start_agent()
    attempts = world.submit(f"echo ran >> {ran}", count=40)
    wait_until(lambda: any(world.record(attempt).state is State.SUCCEEDED for attempt in attempts))
    world.sandbox.faults.restart(down_seconds=1.0)
    world.wait_for(State.SUCCEEDED, attempts, seconds=40)
    wait_until(lambda: not world.pods(), what="no pod left")
    assert ran.read_text().splitlines() == ["ran"] * 40
    assert {world.record(attempt).launches for attempt in attempts} == {0}
