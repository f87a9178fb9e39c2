"""``why`` and ``status`` on pods: breaks are made with a real agent, and both say what is wrong and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.config import Settings
from hybrid_executor.insight.overview import Overview, read_overview
from hybrid_executor.insight.story import Story, read_attempt_story
from hybrid_executor.states import State
from tests.waiting import wait_until

from .conftest import World
from .test_agent_fairness import limit
from .test_agent_passing_trouble import BUSY, NO_ACCOUNT, elsewhere, pull

SLOW = "while ! [ -e {} ]; do sleep 0.1; done"


class Asked:
    """What people ask about the agents' world."""

    def __init__(self, world: World, session: Any) -> None:
        self._world, self._session = world, session
        self.settings: Settings = world.settings()

    def why(self, attempt: str) -> Story:
        self._session.rollback()
        return read_attempt_story(self._world.store, self._session, self.settings, attempt)

    def status(self) -> Overview:
        return read_overview(self._world.store, self.settings)

    def problems(self) -> list[str]:
        return [f"{one.severity}: {one.what} -> {one.cure}" for one in self.status().problems]

    def wait_until_why_says(self, attempt: str, *words: str) -> Story:
        last: list[Story] = []

        def said() -> Story | None:
            last[:] = [self.why(attempt)]
            return last[0] if all(word in last[0].waits_for for word in words) else None

        try:
            found: Story = wait_until(said, what=str(words))
        except AssertionError as error:
            raise AssertionError(f"{words} not in: {last[0].waits_for}") from error
        return found

    def wait_until_status_says(self, words: str) -> str:
        found: str = wait_until(lambda: next((text for text in self.problems() if words in text), None), what=words)
        return found


@pytest.fixture
def asked(world: World, session: Any) -> Asked:
    return Asked(world, session)


def test_no_agent_is_alive(world: World, asked: Asked) -> None:
    [attempt] = world.submit()
    story = asked.why(attempt)
    assert story.waits_for == "No agent is alive for cluster default."
    assert story.advice.startswith("Run airflow hybrid agent")
    told = asked.wait_until_status_says("no agent is alive")
    assert told.startswith("failure: 1 attempt waits for pods in cluster default")


def test_a_dead_agent_is_shown_as_silent_and_a_stopped_one_is_not_shown(world: World, asked: Asked) -> None:
    agent = world.start_agent()
    [shown] = wait_until(lambda: asked.status().agents, what="the announcement")
    assert (shown.name, shown.state, shown.places) == ("agent-1", "running", ("default/default",))
    agent.stop()
    assert asked.status().agents == ()
    world.store.presence.announce("agent", "dead", {"clusters": "default"}, seconds=30)
    world.store.client.delete(world.store.keys.member("agent", "dead"))
    assert asked.status().agents[0].state == "silent"
    assert "Agent dead ended unexpectedly" in asked.wait_until_status_says("Agent dead")


def test_a_full_quota(world: World, asked: Asked, tmp_path: Any) -> None:
    limit(world, "default", {"pods": "1"})
    world.start_agent()
    go_on = tmp_path / "go-on"
    world.wait_for(State.RUNNING, world.submit(SLOW.format(go_on)))
    [attempt] = world.submit()
    story = asked.wait_until_why_says(attempt, "Waiting for quota: q", "The agent tries again in", "It fails if")
    assert "namespace default" in story.where
    assert "raise the quota" in story.advice
    told = asked.wait_until_status_says("Waiting for quota")
    assert told.startswith("warning: 1 attempt of queue q cannot start, the first for")
    assert "raise the quota" in told
    go_on.touch()
    world.wait_for(State.SUCCEEDED, [attempt])


def test_a_refusal_that_an_administrator_has_to_remove(world: World, asked: Asked) -> None:
    refusal = world.sandbox.faults.fail(
        403, verb="create", path="/pods$", times=None, reason="Forbidden", message=NO_ACCOUNT
    )
    world.start_agent()
    [attempt] = world.submit()
    story = asked.wait_until_why_says(attempt, "service account does not exist", "The agent tries again in")
    assert "create it" in story.waits_for
    world.sandbox.faults.remove(refusal)
    world.wait_for(State.SUCCEEDED, [attempt])


def test_an_image_that_cannot_be_pulled_now(world: World, asked: Asked) -> None:
    world.start_agent(settings=world.settings(launch_patience="60"))
    [attempt] = world.submit(pod=elsewhere())
    world.wait_for(State.PENDING, [attempt])
    pull(world, attempt, BUSY)
    story = asked.wait_until_why_says(attempt, "cannot get its image", "The agent gives up in about")
    assert story.where.startswith("in pod default/")
    assert "imagePullSecrets" in story.advice
    assert "imagePullSecrets" in asked.wait_until_status_says("cannot get its image")


def test_a_wrong_image_has_failed_and_says_so_afterwards(world: World, asked: Asked) -> None:
    world.start_agent(kubernetes={"pod_launch_failure_retries": "0"})
    [attempt] = world.submit(pod={"spec": {"containers": [{"name": "base", "image": "Wrong Image"}]}})
    world.wait_for(State.FAILED, [attempt])
    story = asked.why(attempt)
    [chapter] = story.chapters
    assert chapter.attempt.category in ("image_invalid", "rejected")
    assert "pod-yaml" in chapter.advice
    assert "failed in the last 15 minutes" in asked.wait_until_status_says("Wrong Image")


def test_a_pod_that_finds_no_node(world: World, asked: Asked) -> None:
    world.start_agent()
    pod = {
        "spec": {
            "containers": [{"name": "base", "command": ["true"], "resources": {"requests": {"cpu": "1000"}}}],
        }
    }
    [attempt] = world.submit(pod=pod)
    story = asked.wait_until_why_says(attempt, "finds no node", "Airflow takes the task back in about")
    assert "Insufficient cpu" in story.waits_for
    assert "ask for less" in story.advice
    assert "Insufficient cpu" in asked.wait_until_status_says("finds no node")


def test_the_limit_of_starting_pods(world: World, asked: Asked) -> None:
    asked.settings = world.settings(starting_pods="1")
    world.start_agent(settings=asked.settings)
    [first] = world.submit(pod=elsewhere())
    world.wait_for(State.PENDING, [first])
    [attempt] = world.submit()
    story = asked.wait_until_why_says(attempt, "1 pod of cluster default", "no more than 1 may start")
    assert story.where.endswith("with agent agent-1")


def test_an_api_server_that_does_not_answer(world: World, asked: Asked) -> None:
    world.start_agent()
    slow = world.sandbox.faults.slow(8, verb="create", path="/pods$")
    [attempt] = world.submit()
    story = asked.wait_until_why_says(attempt, "The API server of cluster default creates the pod now.")
    assert story.where.startswith("with agent agent-1, which creates pod default/")
    world.sandbox.faults.remove(slow)


def test_a_pod_that_runs_is_watched_or_not(world: World, asked: Asked, tmp_path: Any) -> None:
    agent = world.start_agent()
    go_on = tmp_path / "go-on"
    [attempt] = world.submit(SLOW.format(go_on))
    world.wait_for(State.RUNNING, [attempt])
    wait_until(lambda: any(one.watches for one in asked.status().agents), what="the watch to be announced")
    story = asked.why(attempt)
    assert story.where.startswith("in pod default/")
    assert story.waits_for == ""
    agent.stop()
    assert asked.why(attempt).waits_for.startswith("Its end will not be noticed: No agent is alive")
    assert asked.wait_until_status_says("no agent is alive").startswith("failure")
    go_on.touch()
    world.start_agent("agent-2")
    world.wait_for(State.SUCCEEDED, [attempt])
