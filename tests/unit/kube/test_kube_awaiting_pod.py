"""Pods that get their workload by their standard input: their manifest, and what their status says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hybrid_executor.agent.launch.pod_factory import Manifest, PodFactory
from hybrid_executor.agent.watch.decision import Sighting, change_for, sight
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.events import AttemptId
from hybrid_executor.kube.awaiting_pod import AWAITED, LABEL_WORKLOAD, begin_patch, hand_over_state
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.manifest import ENTRY_POINT
from hybrid_executor.kube.warm_pod import CLAIMED, claim_of
from hybrid_executor.sandbox.patching import json_patch
from hybrid_executor.sandbox.status import StatusError
from hybrid_executor.states import State
from hybrid_executor.store import Record

SETTINGS = KubernetesSettings(worker_container_repository="task", worker_container_tag="1")
SECRET = '{"token": "a-secret"}'


def build(overrides: str = "", *, settings: KubernetesSettings = SETTINGS, **rest: Any) -> Manifest:
    record = Record(
        id=AttemptId("a-1"), state=State.SUBMITTED, generation=1, dag_id="dag", task_id="task", run_id="r", queue="q"
    )
    made = PodFactory(settings, instance="test", profiles={}, pod_token="stdin", wait_seconds=120, **rest)
    return made.build(record, payload=SECRET, overrides=overrides)


def override(**container: Any) -> str:
    return json.dumps({"pod": {"spec": {"containers": [{"name": "base", **container}]}}})


def base_of(manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = manifest.pod["spec"]["containers"][0]
    return found


def test_a_pod_that_awaits_its_workload_holds_no_token_and_reads_its_standard_input_once() -> None:
    manifest = build()
    base = base_of(manifest)
    assert manifest.awaits_workload
    assert hand_over_state(manifest.pod) == AWAITED
    assert "a-secret" not in json.dumps(manifest.pod)
    assert (base["stdin"], base["stdinOnce"]) == (True, True)
    assert base["args"][:2] == ["python", "-c"]
    assert base["args"][3:] == ["120", "on-demand"]


def test_a_command_of_a_layer_stays_and_gets_the_program_as_its_arguments() -> None:
    base = base_of(build(override(command=["dumb-init", "--"])))
    assert base["command"] == ["dumb-init", "--"]
    assert base["args"][:2] == ["python", "-c"]


def test_arguments_of_an_executor_config_replace_the_program_and_nothing_is_handed_over() -> None:
    manifest = build(override(args=["sleep", "1"]))
    assert not manifest.awaits_workload
    assert base_of(manifest)["args"] == ["sleep", "1"]
    assert "stdin" not in base_of(manifest)
    assert "a-secret" not in json.dumps(manifest.pod)


def test_nothing_starts_the_program_again_and_no_terminal_repeats_the_token_in_the_log() -> None:
    base = {"name": "base", "restartPolicy": "OnFailure", "restartPolicyRules": [{"action": "Restart"}], "tty": True}
    manifest = build(json.dumps({"pod": {"spec": {"restartPolicy": "OnFailure", "containers": [base]}}}))
    assert manifest.pod["spec"]["restartPolicy"] == "Never"
    assert base_of(manifest).keys().isdisjoint({"restartPolicy", "restartPolicyRules", "tty"})


def test_a_hook_sees_no_token_and_may_wrap_the_program() -> None:
    seen = []

    def hook(pod: Any) -> None:
        seen.append(json.dumps([str(text) for text in pod.spec.containers[0].args]))
        pod.spec.containers[0].args = ["bash", "-c", "exec " + " ".join(map(repr, pod.spec.containers[0].args))]

    manifest = build(hook=hook)
    assert manifest.awaits_workload
    assert "a-secret" not in seen[0]


def test_a_hook_that_replaces_the_program_gets_a_pod_to_which_nothing_is_handed_over() -> None:
    def hook(pod: Any) -> None:
        pod.spec.containers[0].args = ["true"]

    manifest = build(hook=hook)
    assert not manifest.awaits_workload
    assert LABEL_WORKLOAD not in manifest.pod["metadata"]["labels"]


def test_by_default_the_workload_stands_in_the_arguments_as_upstream_has_it() -> None:
    record = Record(id=AttemptId("a-1"), state=State.SUBMITTED, generation=1, dag_id="d", task_id="t", run_id="r")
    pod = PodFactory(SETTINGS, instance="test", profiles={}).build(record, payload=SECRET, overrides="").pod
    assert pod["spec"]["containers"][0]["args"] == [*ENTRY_POINT, SECRET]
    assert hand_over_state(pod) == ""


def test_one_agent_begins_to_hand_over() -> None:
    pod = build().pod
    claimed = json_patch(pod, begin_patch("mine"))
    assert hand_over_state(claimed) == CLAIMED
    assert claim_of(claimed) == "mine"
    with pytest.raises(StatusError, match="testing path"):
        json_patch(claimed, begin_patch("other"))


def seen_as(state: dict[str, Any], *, phase: str = "Running", claimed: bool = False, **metadata: Any) -> Sighting:
    pod = build().pod
    pod = json_patch(pod, begin_patch("mine")) if claimed else pod
    status = {"name": "base", "ready": True, "restartCount": 0, "state": state}
    times = {"creationTimestamp": "2026-01-01T00:00:00Z", "uid": "u", **metadata}
    raw = {**pod, "metadata": {**pod["metadata"], **times}, "status": {"phase": phase, "containerStatuses": [status]}}
    found = sight(raw)
    assert found is not None
    return found


RUNS = {"running": {"startedAt": "2026-01-01T00:00:03Z"}}


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    moment = "2026-01-01T00:00:03Z"
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": moment, "finishedAt": moment}}


@pytest.mark.parametrize("claimed", [False, True])
def test_a_pod_whose_container_runs_is_pending_and_gets_its_workload(claimed: bool) -> None:
    seen = seen_as(RUNS, claimed=claimed)
    assert (seen.diagnosis.phase, seen.awaits, seen.started_after) == ("pending", True, 3.0)


def test_a_pod_with_another_container_that_runs_is_news_again_when_its_own_does() -> None:
    early, late = seen_as({"waiting": {"reason": "PodInitializing"}}), seen_as(RUNS)
    assert not early.awaits
    assert early.diagnosis != late.diagnosis


def test_a_pod_that_is_being_deleted_gets_nothing() -> None:
    assert not seen_as(RUNS, deletionTimestamp="2026-01-01T00:00:05Z").awaits


@pytest.mark.parametrize(
    ("state", "category", "to"),
    [
        (ended(97), Category.NOT_HANDED_OVER, State.SUBMITTED),
        (ended(127), Category.EXIT_NONZERO, State.FAILED),
        (ended(137, "OOMKilled"), Category.OOM_KILLED, State.SUBMITTED),
    ],
)
def test_the_task_of_a_pod_that_nobody_has_begun_to_hand_over_to_has_not_started(
    state: dict[str, Any], category: Category, to: State
) -> None:
    seen = seen_as(state, phase="Failed")
    assert (seen.diagnosis.category, seen.diagnosis.task_may_have_started) == (category, False)
    change = change_for(seen.diagnosis, seen.identity, SETTINGS)
    assert change is not None
    assert change.to is to


@pytest.mark.parametrize(("code", "may_have_started"), [(97, False), (137, True), (1, True)])
def test_after_that_only_its_exit_code_proves_that_nothing_ran(code: int, may_have_started: bool) -> None:
    assert seen_as(ended(code), phase="Failed", claimed=True).diagnosis.task_may_have_started is may_have_started
