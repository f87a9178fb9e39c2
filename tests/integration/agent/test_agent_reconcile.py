"""``airflow hybrid reconcile`` with a cluster: pods that do not fit their records, and an agent that repairs them."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import pytest

from hybrid_executor.cli import reconcile_command
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Restoration
from tests.integration.agent.conftest import World
from tests.integration.conftest import set_options
from tests.waiting import wait_until

Found = tuple[int, dict[str, dict[str, Any]], str]


@pytest.fixture
def reconcile(
    world: World, airflow_db: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Found]:
    """Return a function that runs the command; it returns exit code, differences by kind, and standard error."""
    from tests.integration import rows

    rows.open_session().close()
    set_options(
        monkeypatch,
        core__executor="hybrid_executor.HybridExecutor",
        hybrid_executor__redis_url=world.redis_url,
        hybrid_executor__routes="*=kubernetes",
        kubernetes_executor__in_cluster="False",
        kubernetes_executor__config_file=str(world.kubeconfig),
    )

    def run(*, dry_run: bool = False) -> Found:
        capsys.readouterr()
        code = 0
        try:
            reconcile_command.reconcile(Namespace(dry_run=dry_run, timeout=60.0, output="json", json=False))
        except SystemExit as error:
            code = int(error.code or 0)
        told = capsys.readouterr()
        return code, {row["kind"]: row for row in json.loads(told.out or "[]")}, told.err

    return run


def test_a_pod_that_is_gone_is_found_and_an_agent_that_is_asked_records_it_at_once(
    world: World, reconcile: Callable[..., Found]
) -> None:
    world.start_agent("asked")
    wait_until(lambda: world.store.presence.fields("agent", "asked"), what="the agent to announce itself")
    ghost = AttemptId("3f1f2a1e-0000-4000-8000-000000000001")
    about = {"kind": "task", "cluster": "default", "namespace": "default", "pod": "ghost", "key": "k", "task_id": "t"}
    world.store.attempts.restore(
        [
            Restoration(
                attempt=ghost,
                owner=OwnerId("1"),
                pool="kubernetes",
                state=State.RUNNING,
                generation=1,
                fields=about,
            )
        ]
    )
    code, found, _ = reconcile(dry_run=True)
    assert code == 1
    assert found["missing pod"]["what"].endswith("is running, but its pod default/ghost is not there")
    assert world.record(ghost).state is State.RUNNING

    _, found, _ = reconcile()
    assert (found["missing pod"]["done"], found["missing pod"]["is_left"]) == ("asked the agents to repair now", False)
    assert world.record(ghost).state is not State.RUNNING


def test_a_pod_of_a_revoked_attempt_waits_for_an_agent_and_is_named_as_long_as_none_is_alive(
    world: World, reconcile: Callable[..., Found]
) -> None:
    world.start_agent("first")
    [attempt] = world.submit("sleep 3600")
    world.wait_for(State.RUNNING, [attempt])
    world.stop_agents()
    world.store.attempts.advance(Change(attempt=attempt, to=State.REVOKED, raises_generation=True))
    code, found, _ = reconcile()
    assert code == 1
    assert found["pod of an ended attempt"]["cure"] == "start an agent, which deletes or marks it"
    assert found["pod of an ended attempt"]["done"] == "no agent is alive: start one"
    world.start_agent("second")
    wait_until(lambda: not world.pods(), what="the agent to delete the pod")
    assert "pod of an ended attempt" not in reconcile()[1]


def test_a_cluster_that_denies_the_list_is_named_and_no_pod_counts_as_missing(
    world: World, reconcile: Callable[..., Found]
) -> None:
    world.start_agent("agent")
    [attempt] = world.submit("sleep 3600")
    world.wait_for(State.RUNNING, [attempt])
    world.sandbox.faults.deny("list")
    code, found, err = reconcile(dry_run=True)
    assert code == 2
    assert err.startswith(
        "airflow hybrid reconcile: The pods of namespace default of cluster default were not compared:"
    )
    assert "missing pod" not in found
