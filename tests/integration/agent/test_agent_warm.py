"""Warm pods of an agent: attempts get waiting pods, and what waits is kept, replaced and deleted."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.kube.warm_pod import CLAIMED, WAITING
from hybrid_executor.states import State
from tests.faulty_sandbox import Fault
from tests.integration.agent.conftest import World
from tests.integration.agent.test_agent_starting import RUNS, elsewhere, say
from tests.integration.agent.warm_world import HAND_OVER_FAULTS, WarmWorld
from tests.waiting import wait_until


@pytest.fixture
def warm(world: World) -> WarmWorld:
    return WarmWorld(world)


def labels_of(pod: dict[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = pod["metadata"]["labels"]
    return labels


def test_attempts_run_in_waiting_pods_and_these_are_replaced(warm: WarmWorld) -> None:
    warm.start_agent()
    waiting = warm.wait_for_ready(2)
    attempts = warm.submit(count=2)
    records = warm.world.wait_for(State.SUCCEEDED, attempts)
    assert {record.pod for record in records} == waiting
    assert all(warm.ran()[attempt] == [warm.world.record(attempt).pod] for attempt in attempts)
    assert warm.world.states(attempts[0])[:2] == ["submitted", "pending"]
    wait_until(warm.world.launch_stream_is_empty)
    assert warm.wait_for_ready(2).isdisjoint(waiting)
    warm.check_once(attempts)


def test_a_running_warm_pod_looks_like_a_cold_one_and_is_revoked_like_one(warm: WarmWorld) -> None:
    warm.write_template(task="sleep 1000")
    warm.start_agent()
    warm.wait_for_ready(2)
    [attempt] = warm.submit()
    [record] = warm.world.wait_for(State.RUNNING, [attempt])
    pod = warm.world.kube.get_pod("default", record.pod)
    assert labels_of(pod)["hybrid-executor/attempt"] == attempt
    assert labels_of(pod)["dag_id"] == "dag"
    assert labels_of(pod)["hybrid-executor/queue"] == "q"
    assert pod["metadata"]["annotations"]["task_id"] == "task"
    assert "token-of" not in json.dumps(pod)
    assert warm.world.store.attempts.workload(attempt)[1] == ""
    warm.world.store.attempts.revoke([attempt], reason="by hand")
    wait_until(lambda: record.pod not in warm.world.pod_names())
    assert warm.world.record(attempt).state is State.REVOKED


def test_what_differs_from_the_profile_starts_in_a_pod_of_its_own(warm: WarmWorld) -> None:
    warm.start_agent()
    waiting = warm.wait_for_ready(2)
    other = json.dumps({"pod": {"metadata": {"labels": {"a": "b"}}}})
    attempts = [*warm.submit(overrides=other), *warm.submit(profile="plain"), *warm.submit(profile="")]
    records = warm.world.wait_for(State.SUCCEEDED, attempts)
    assert not {record.pod for record in records} & waiting
    assert warm.ready() == waiting
    warm.check_once(attempts)


def test_without_warm_pods_nothing_is_asked_and_nothing_is_kept(world: World) -> None:
    lists = world.count("list")
    world.start_agent()
    before = lists()
    attempts = world.submit(count=3)
    world.wait_for(State.SUCCEEDED, attempts)
    assert lists() == before
    assert not [str(key) for key in world.store.client.keys("*warm*")]
    assert world.record(attempts[0]).extra.keys().isdisjoint({"warm", "warm_generation"})


def test_a_burst_beyond_the_waiting_pods_starts_cold_and_makes_more_of_them_wait(warm: WarmWorld) -> None:
    warm.describe(idle=2, most=4)
    warm.start_agent()
    warm.wait_for_ready(2)
    attempts = warm.submit(count=8)
    warm.world.wait_for(State.SUCCEEDED, attempts)
    warm.check_once(attempts)
    warm.wait_for_ready(4)


def test_a_template_that_changes_replaces_all_waiting_pods_and_none_of_them_is_used(warm: WarmWorld) -> None:
    warm.start_agent()
    old = warm.wait_for_ready(2)
    warm.write_template(version="2")
    attempts = warm.submit(count=2)
    records = warm.world.wait_for(State.SUCCEEDED, attempts)
    assert not {record.pod for record in records} & old
    wait_until(lambda: not old & warm.world.pod_names())
    warm.wait_for_ready(2)
    assert {labels_of(pod)["version"] for pod in warm.pods()} == {"2"}


def test_waiting_pods_that_nobody_needs_any_more_are_deleted(warm: WarmWorld) -> None:
    warm.describe(idle=3)
    agent = warm.start_agent()
    warm.wait_for_ready(3)
    agent.stop()
    warm.describe(idle=1)
    warm.start_agent("agent-2")
    warm.wait_for_ready(1)
    wait_until(lambda: len(warm.names()) == 1)


def test_a_pod_that_is_not_ready_is_not_used(warm: WarmWorld) -> None:
    warm.write_template(before_ready="sleep 1000")
    warm.start_agent()
    wait_until(lambda: [pod["status"]["phase"] for pod in warm.pods()] == ["Running", "Running"])
    attempts = warm.submit()
    [record] = warm.world.wait_for(State.SUCCEEDED, attempts)
    assert record.pod not in warm.names()


def test_an_attempt_gets_the_pod_that_starts_and_no_second_one_is_made(
    warm: WarmWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid_executor.store.warm.WAIT_SECONDS", 600)
    may_start = tmp_path / "may-start"
    warm.write_template(before_ready=f"until [ -e {may_start} ]; do sleep 0.1; done")
    warm.start_agent()
    wait_until(lambda: warm.world.store.client.keys("*:warm-starting:*"))
    starting = warm.names()
    [attempt] = warm.submit()
    wait_until(lambda: "A warm pod is starting" in warm.world.record(attempt).note)
    may_start.touch()
    [record] = warm.world.wait_for(State.SUCCEEDED, [attempt])
    assert record.pod in starting
    assert record.note == ""


def test_an_attempt_that_waits_for_its_turn_gets_a_pod_that_is_ready_by_then(
    warm: WarmWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was to get a pod of its own: none was ready soon enough when it came."""
    monkeypatch.setattr("hybrid_executor.agent.warm.start_pace.StartPace.wait_seconds", 0)
    warm.options["starting_pods"] = "1"
    may_start = tmp_path / "may-start"
    warm.write_template(before_ready=f"until [ -e {may_start} ]; do sleep 0.1; done")
    warm.start_agent()
    wait_until(lambda: len(warm.names()) == 2)
    starting = warm.names()
    [first] = warm.world.submit(pod=elsewhere())
    wait_until(lambda: warm.world.record(first).pod)
    [attempt] = warm.submit()
    wait_until(lambda: warm.world.record(attempt).extra.get("warm_generation") == "1")
    assert warm.world.record(attempt).state is State.SUBMITTED
    may_start.touch()
    warm.wait_for_ready(2)
    assert warm.world.record(attempt).state is State.SUBMITTED
    say(warm.world, warm.world.record(first).pod, RUNS)
    [record] = warm.world.wait_for(State.SUCCEEDED, [attempt])
    assert record.pod in starting
    warm.check_once([attempt])
    assert warm.world.store.starts.under_way("default")[0] == 0


def test_pods_that_end_before_they_are_ready_are_not_made_again_and_again(
    warm: WarmWorld, caplog: pytest.LogCaptureFixture
) -> None:
    warm.write_template(before_ready="echo no such module; exit 1")
    warm.start_agent()
    wait_until(lambda: "end before they are ready" in caplog.text)
    assert "Its last lines: no such module" in caplog.text
    attempts = warm.submit()
    warm.world.wait_for(State.SUCCEEDED, attempts)


def test_waiting_pods_give_way_when_a_namespace_is_short_of_quota(warm: WarmWorld) -> None:
    warm.write_template(task="sleep 2")
    warm.start_agent()
    warm.wait_for_ready(2)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "3"}}}
    warm.world.kube.ask("POST", "/api/v1/namespaces/default/resourcequotas", doing="limit", body=quota)
    attempts = warm.submit(count=3, profile="plain")
    wait_until(lambda: {warm.world.record(attempt).state for attempt in attempts} <= {State.RUNNING, State.SUCCEEDED})
    warm.world.wait_for(State.SUCCEEDED, attempts)


def test_waiting_pods_give_way_to_pods_that_find_no_node(warm: WarmWorld) -> None:
    warm.write_template(task="sleep 1")
    warm.describe(idle=14)  # the sandbox's node has room for 16 pods
    warm.start_agent()
    warm.wait_for_ready(14)
    attempts = warm.submit(count=4, profile="plain")
    warm.world.wait_for(State.SUCCEEDED, attempts)
    warm.check_once(attempts)


def test_without_the_right_to_attach_tasks_start_cold_and_the_log_says_what_to_grant(
    warm: WarmWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    warm.world.sandbox.faults.deny("create", "pods/attach")
    warm.start_agent()
    attempts = warm.submit(count=2)
    warm.world.wait_for(State.SUCCEEDED, attempts)
    wait_until(lambda: "grant the agent's account the verbs get and create on pods/attach" in caplog.text)
    assert warm.names() == set()
    warm.check_once(attempts)


def test_a_right_that_is_lost_later_costs_pods_and_no_task(warm: WarmWorld) -> None:
    warm.start_agent()
    warm.wait_for_ready(2)
    warm.world.sandbox.faults.deny("create", "pods/attach")
    attempts = warm.submit(count=3)
    warm.world.wait_for(State.SUCCEEDED, attempts)
    warm.check_once(attempts)


def test_the_other_agent_keeps_the_pods_of_one_that_is_gone(warm: WarmWorld) -> None:
    first = warm.start_agent("agent-1")
    waiting = warm.wait_for_ready(2)
    warm.start_agent("agent-2", is_watching=False)
    first.stop()
    attempts = warm.submit(count=1)
    [record] = warm.world.wait_for(State.SUCCEEDED, attempts)
    assert record.pod in waiting
    warm.wait_for_ready(2)


def test_pods_that_wait_while_redis_loses_everything_are_offered_again(warm: WarmWorld) -> None:
    warm.start_agent()
    waiting = warm.wait_for_ready(2)
    warm.world.store.client.flushall()
    assert warm.wait_for_ready(2) == waiting
    attempts = warm.submit(count=2)
    warm.world.wait_for(State.SUCCEEDED, attempts)
    warm.check_once(attempts)


def test_waiting_pods_of_a_profile_that_has_none_any_more_are_deleted(warm: WarmWorld) -> None:
    warm.start_agent().stop()
    agent = warm.start_agent("agent-2")
    warm.wait_for_ready(2)
    agent.stop()
    warm.profiles.write_text(json.dumps({"warm": {}, "plain": {}}))
    warm.world.start_agent("agent-3", settings=warm.settings())
    wait_until(lambda: warm.names() == set())


@pytest.mark.parametrize("fault", HAND_OVER_FAULTS)
def test_faults_in_the_middle_of_hand_overs_run_nothing_twice(warm: WarmWorld, fault: Fault) -> None:
    warm.describe(idle=4)
    warm.start_agent()
    warm.wait_for_ready(4)
    warm.world.sandbox.faults.add(fault)
    attempts = warm.submit(count=4)
    warm.world.wait_for(State.SUCCEEDED, attempts)
    warm.check_once(attempts)
    assert warm.names(CLAIMED).isdisjoint(warm.names(WAITING))
