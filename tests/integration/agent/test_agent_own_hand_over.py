"""Pods that get their workload by their standard input: no token is in their spec, and each task runs once."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from hybrid_executor.agent.launch.entries import Abandoned, Again, Claimed, Dropped, Launch
from hybrid_executor.errors import KubeError
from hybrid_executor.events import STREAM_START, AttemptId, StreamId
from hybrid_executor.kube.awaiting_pod import LABEL_WORKLOAD, hand_over_state
from hybrid_executor.states import State
from hybrid_executor.store import LaunchEntry, Record, Renewal
from tests.faulty_sandbox import Fault
from tests.integration.agent.conftest import World
from tests.integration.agent.test_warm_crash_points import DyingAgent
from tests.integration.agent.warm_world import HAND_OVER_FAULTS, WarmWorld
from tests.waiting import wait_until

OWN = {"profile": "plain"}


@pytest.fixture
def own(world: World) -> WarmWorld:
    """No pod waits for an attempt; the file ``go`` lets pods that are told so become ready."""
    made = WarmWorld(world, idle=0)
    made.options = {"pod_token": "stdin", "routes": "*=kubernetes:plain"}
    return made


def wait_for_file(own: WarmWorld) -> str:
    """Return what makes a pod get ready only after :func:`let_go`."""
    return f"until [ -e {own.world.directory}/go ]; do sleep 0.05; done"


def let_go(own: WarmWorld) -> None:
    (own.world.directory / "go").touch()


def runs(own: WarmWorld, attempt: AttemptId) -> Record | None:
    """Return the record of an attempt whose pod's container runs, as far as its agent has noticed."""
    record = own.world.record(attempt)
    return record if record.hand_over_pod else None


def test_a_pods_spec_never_holds_the_token_and_its_task_runs_once(own: WarmWorld) -> None:
    own.write_template(task="sleep 1000")
    own.start_agent()
    [attempt] = own.submit(**OWN)
    [record] = own.world.wait_for(State.RUNNING, [attempt])
    pod = own.world.kube.get_pod("default", record.pod)
    assert hand_over_state(pod) == "claimed"
    assert "token-of" not in json.dumps(pod)
    assert own.world.states(attempt) == ["submitted", "launching", "pending", "running"]
    assert own.world.store.attempts.workload(attempt)[1] == ""
    wait_until(own.world.launch_stream_is_empty)
    wait_until(lambda: own.ran() == {attempt: [record.pod]})
    own.world.store.attempts.revoke([attempt], reason="by hand")
    wait_until(lambda: record.pod not in own.world.pod_names())
    assert own.world.record(attempt).state is State.REVOKED


def test_what_waits_in_other_namespaces_and_beside_sidecars_gets_its_workload(own: WarmWorld) -> None:
    own.start_agent()
    pods: list[dict[str, Any]] = [
        {"metadata": {"namespace": "other"}},
        {"spec": {"initContainers": [{"name": "first", "image": "i", "command": ["true"]}]}},
        {"spec": {"containers": [{"name": "base"}, {"name": "beside", "image": "i", "command": ["sleep", "1000"]}]}},
    ]
    attempts = [own.submit(overrides=json.dumps({"pod": pod}), **OWN)[0] for pod in pods]
    own.world.wait_for(State.SUCCEEDED, attempts)
    own.check_once(attempts)


def test_a_burst_is_handed_over_by_two_agents_without_a_second_run(own: WarmWorld) -> None:
    own.start_agent("agent-1")
    own.start_agent("agent-2", is_watching=False)
    attempts = own.submit(count=12, **OWN)
    own.world.wait_for(State.SUCCEEDED, attempts)
    own.check_once(attempts)
    wait_until(own.world.launch_stream_is_empty)


@pytest.mark.parametrize("step", ["get_pod", "patch_pod", "write_line"])
def test_an_agent_that_dies_in_the_middle_leaves_a_task_that_runs_once(own: WarmWorld, step: str) -> None:
    own.write_template(before_ready=wait_for_file(own))
    agent = own.start_agent("first")
    [attempt] = own.submit(**OWN)
    left = wait_until(lambda: runs(own, attempt))
    agent.stop()  # it gives the hand-over back
    let_go(own)
    assert DyingAgent(own, after=step).work(takes_over=True) == attempt
    own.start_agent("second")
    own.world.wait_for(State.SUCCEEDED, [attempt])
    own.check_once([attempt])
    wait_until(own.world.launch_stream_is_empty)
    # After the patch nobody could know whether the pod gets its workload.
    assert (own.world.record(attempt).pod == left.pod) is (step != "patch_pod")


def test_a_pod_that_gets_ready_while_no_agent_runs_gets_its_workload_from_the_next(own: WarmWorld) -> None:
    own.write_template(before_ready=wait_for_file(own))
    agent = own.start_agent("first")
    [attempt] = own.submit(**OWN)
    [record] = own.world.wait_for(State.PENDING, [attempt])
    agent.stop()
    let_go(own)
    own.start_agent("second")
    [ended] = own.world.wait_for(State.SUCCEEDED, [attempt])
    assert ended.pod == record.pod


def test_a_hand_over_whose_entry_redis_has_lost_is_put_on_the_stream_again(own: WarmWorld) -> None:
    own.write_template(before_ready=wait_for_file(own))
    agent = own.start_agent("first")
    [attempt] = own.submit(**OWN)
    wait_until(lambda: runs(own, attempt))
    agent.stop()
    client = own.world.store.client
    client.delete(own.world.store.keys.launch("default"))
    client.hdel(own.world.store.keys.attempt(attempt), "hand_over")  # fallen back to what was before both
    let_go(own)
    own.start_agent("second")  # its first list finds the pod that waits
    own.world.wait_for(State.SUCCEEDED, [attempt])
    own.check_once([attempt])


def test_an_agent_that_still_has_the_entry_of_the_creation_leaves_the_pod_to_the_other(own: WarmWorld) -> None:
    own.write_template(before_ready=wait_for_file(own))
    own.start_agent("first")
    [attempt] = own.submit(**OWN)
    wait_until(lambda: runs(own, attempt))
    creation = Launch(LaunchEntry(id=StreamId("1-0"), op="launch", attempt=attempt, generation=1))
    assert DyingAgent(own, after="").preparer.read([creation]) == [Dropped(creation)]
    let_go(own)
    own.world.wait_for(State.SUCCEEDED, [attempt])
    own.check_once([attempt])


def test_an_expired_workload_is_asked_for_and_handed_over_to_the_same_pod(own: WarmWorld) -> None:
    own.write_template(before_ready=wait_for_file(own))
    agent = own.start_agent("first")
    [attempt] = own.submit(**OWN)
    record = wait_until(lambda: runs(own, attempt))
    agent.stop()  # it may have read the workload
    store = own.world.store
    store.client.delete(store.keys.payload(attempt))
    let_go(own)
    own.start_agent("second")
    wait_until(lambda: any(event.wants == "workload" for event in store.events.read(STREAM_START).events))
    assert own.ran() == {}
    fresh = json.dumps({"token": f"token-of-{attempt}"})
    assert store.hand_overs.renew([Renewal(attempt, record.generation, fresh)]) == 1
    [ended] = own.world.wait_for(State.SUCCEEDED, [attempt])
    assert ended.pod == record.pod
    own.check_once([attempt])


def test_a_pod_whose_scheduler_makes_no_new_workload_is_given_up_after_some_questions(own: WarmWorld) -> None:
    agent = own.start_agent()
    own.write_template(before_ready=wait_for_file(own))
    [attempt] = own.submit(**OWN)
    record = wait_until(lambda: runs(own, attempt))
    agent.stop()
    let_go(own)
    entry = LaunchEntry(id=STREAM_START, op="launch", attempt=attempt, generation=record.generation)
    dying = DyingAgent(own, after="nothing")

    def ask(failures: int) -> object:
        launch = Launch(entry, failures=failures)
        claimed = Claimed(launch, record, record.hand_over_pod, "", is_new=False, is_warm=False)
        result = dying.hand_over.run(claimed)
        return result if not isinstance(result, Again) or "expired" in result.note else None

    assert isinstance(wait_until(lambda: ask(0)), Again)
    assert isinstance(ask(8), Abandoned)


def test_without_the_right_to_attach_no_pod_is_made_until_it_is_granted(
    own: WarmWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    faults = own.world.sandbox.faults
    faults.deny("create", "pods/attach")
    own.start_agent()
    attempts = own.submit(count=2, **OWN)
    wait_until(lambda: "verbs get and create on pods/attach" in own.world.record(attempts[0]).note)
    assert "pods/attach" in caplog.text
    assert own.world.pod_names() == set()
    assert {own.world.record(attempt).state for attempt in attempts} <= {State.SUBMITTED, State.LAUNCHING}


def test_without_the_right_to_attach_a_task_fails_after_launch_patience_with_what_to_grant(own: WarmWorld) -> None:
    own.options |= {"launch_patience": "1"}
    own.world.sandbox.faults.deny("create", "pods/attach")
    own.start_agent()
    attempts = own.submit(count=2, **OWN)
    for record in own.world.wait_for(State.FAILED, attempts):
        assert "verbs get and create on pods/attach" in record.reason
    assert own.world.pod_names() == set()
    assert own.ran() == {}


def test_a_right_that_is_lost_while_a_pod_starts_fails_its_task_after_launch_patience(own: WarmWorld) -> None:
    own.options |= {"launch_patience": "1"}
    own.write_template(before_ready=wait_for_file(own))
    own.start_agent()
    [attempt] = own.submit(**OWN)
    wait_until(lambda: runs(own, attempt))
    own.world.sandbox.faults.deny("create", "pods/attach")
    let_go(own)
    [record] = own.world.wait_for(State.FAILED, [attempt])
    assert "grant the agent's account the verbs get and create on pods/attach" in record.reason
    wait_until(lambda: own.world.pod_names() == set())
    assert own.ran() == {}


def test_an_attempt_that_is_revoked_while_its_pod_starts_gets_no_workload(own: WarmWorld) -> None:
    own.write_template(before_ready=wait_for_file(own))
    own.start_agent()
    [attempt] = own.submit(**OWN)
    wait_until(lambda: runs(own, attempt))
    own.world.store.attempts.revoke([attempt], reason="by hand")
    let_go(own)
    wait_until(lambda: own.world.pod_names() == set())
    wait_until(own.world.launch_stream_is_empty)
    assert own.ran() == {}


def test_a_pod_that_ends_before_it_asks_for_its_workload_fails_its_task_with_its_last_lines(own: WarmWorld) -> None:
    own.write_template(before_ready="echo no such interpreter; exit 127")
    own.start_agent()
    [attempt] = own.submit(**OWN)
    [record] = own.world.wait_for(State.FAILED, [attempt])
    assert record.category == "exit_nonzero"
    assert "no such interpreter" in record.reason


def test_a_pod_that_is_deleted_before_it_has_its_workload_is_launched_again(own: WarmWorld) -> None:
    own.write_template(before_ready=wait_for_file(own))
    own.start_agent()
    [attempt] = own.submit(**OWN)
    record = wait_until(lambda: runs(own, attempt))
    own.world.kube.delete_pod("default", record.pod, grace_period_seconds=0)
    wait_until(lambda: own.world.record(attempt).launches == 1)
    let_go(own)
    [ended] = own.world.wait_for(State.SUCCEEDED, [attempt])
    assert ended.pod != record.pod
    own.check_once([attempt])


def test_arguments_of_an_executor_config_run_as_they_are_and_without_a_token(own: WarmWorld) -> None:
    own.start_agent()
    container = {"name": "base", "command": ["sh", "-c"], "args": ["sleep 1000"]}
    [attempt] = own.submit(overrides=json.dumps({"pod": {"spec": {"containers": [container]}}}), **OWN)
    [record] = own.world.wait_for(State.RUNNING, [attempt])
    pod = own.world.kube.get_pod("default", record.pod)
    assert LABEL_WORKLOAD not in pod["metadata"]["labels"]
    assert not pod["spec"]["containers"][0].get("stdin")
    assert "token-of" not in json.dumps(pod)


def test_pods_that_wait_while_redis_loses_everything_get_new_workloads(own: WarmWorld) -> None:
    own.write_template(before_ready=wait_for_file(own))
    agent = own.start_agent("first")
    [attempt] = own.submit(**OWN)
    record = wait_until(lambda: runs(own, attempt))
    agent.stop()
    store = own.world.store
    store.client.flushall()
    own.world.restore(record)
    let_go(own)
    own.start_agent("second")

    def asks() -> int:
        return max((event.generation for event in store.events.read(STREAM_START).events if event.wants), default=0)

    generation = wait_until(asks)
    fresh = json.dumps({"token": f"token-of-{attempt}"})
    assert store.hand_overs.renew([Renewal(attempt, generation, fresh)]) == 1
    [ended] = own.world.wait_for(State.SUCCEEDED, [attempt])
    assert ended.pod == record.pod
    own.check_once([attempt])


@pytest.mark.parametrize("fault", HAND_OVER_FAULTS)
def test_faults_in_the_middle_of_hand_overs_run_nothing_twice(own: WarmWorld, fault: Fault) -> None:
    own.start_agent()
    own.world.sandbox.faults.add(fault)
    attempts = own.submit(count=4, **OWN)
    own.world.wait_for(State.SUCCEEDED, attempts)
    own.check_once(attempts)


def test_a_second_attachment_gets_nothing_of_the_first(own: WarmWorld) -> None:
    own.write_template(task="sleep 1000")
    own.start_agent()
    [attempt] = own.submit(**OWN)
    [record] = own.world.wait_for(State.RUNNING, [attempt])
    try:
        answer = own.world.kube.write_line(
            "default", record.pod, container="base", line="x", is_answer=lambda line: "token" in line, seconds=1
        )
    except KubeError:
        return
    assert not answer.has_come
