"""Options of ``[kubernetes_executor]`` and what the agent does because of them; others are tested where they matter."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.states import State

from .conftest import World, wait_until


def test_no_more_pods_are_created_at_a_time_than_is_configured(world: World) -> None:
    world.sandbox.faults.slow(0.3, verb="create", path="/pods$")
    world.start_agent(kubernetes={"pod_creation_max_concurrency": "2"})
    records = world.wait_for(State.SUCCEEDED, world.submit(count=6))
    # Three rounds of two.
    assert max(record.ended_at for record in records) - min(record.launching_at for record in records) >= 900


@pytest.mark.parametrize(("reasons", "state"), [("Error", State.LOST), ("Error,OOMKilled", State.FAILED)])
def test_excluded_reasons_count_as_the_tasks_own_failure(world: World, reasons: str, state: State) -> None:
    world.start_agent(kubernetes={"pod_launch_failure_excluded_container_reasons": reasons})
    [attempt] = world.submit("sleep 30")
    [record] = world.wait_for(State.RUNNING, [attempt])
    world.sandbox.faults.oom_kill(record.pod)
    [ended] = world.wait_for(state, [attempt])
    assert ended.category == "oom_killed"


def test_only_the_configured_reasons_fail_a_pod_that_waits(world: World) -> None:
    world.start_agent(kubernetes={"worker_pod_pending_fatal_container_state_reasons": "InvalidImageName"})
    missing = {"spec": {"containers": [{"name": "base", "image": "missing.invalid/x:1"}]}}
    [attempt] = world.submit(pod=missing)
    wait_until(lambda: "image" in world.record(attempt).note)
    assert world.record(attempt).state is State.PENDING


@pytest.mark.parametrize(("retries", "launches"), [("0", 0), ("2", 2)])
def test_pods_that_die_before_their_task_starts_are_launched_again_as_often_as_configured(
    world: World, retries: str, launches: int
) -> None:
    world.start_agent(kubernetes={"pod_launch_failure_retries": retries})
    greedy = {"spec": {"containers": [{"name": "base", "resources": {"requests": {"cpu": "100000"}}}]}}
    [attempt] = world.submit(pod=greedy)
    for launch in range(launches + 1):
        wait_until(
            lambda n=launch: world.record(attempt).launches == n and world.record(attempt).state is State.PENDING
        )
        world.kube.delete_pod("default", world.record(attempt).pod, grace_period_seconds=0)
    [failed] = world.wait_for(State.FAILED, [attempt])
    assert (failed.launches, failed.category) == (launches, "deleted_before_start")


@pytest.mark.parametrize("is_set", [True, False])
def test_annotations_of_pods_are_logged_only_where_that_is_configured(
    world: World, is_set: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    world.start_agent(kubernetes={"logs_task_metadata": str(is_set)})
    world.wait_for(State.SUCCEEDED, world.submit(run_id="manual__2026"))
    assert ("'run_id': 'manual__2026'" in caplog.text) is is_set
    assert "secret-token" not in caplog.text


def test_a_namespace_that_only_the_mutation_hook_names_is_watched_too(world: World) -> None:
    def hook(pod: Any) -> None:
        pod.metadata.namespace = "other"

    world.start_agent(hook=hook)
    [record] = world.wait_for(State.SUCCEEDED, world.submit())
    assert record.namespace == "other"
    assert world.watcher("other") == "agent-1"
    wait_until(lambda: not world.pods(), what="no pod left")
