"""A warm pod's manifest and the patch that claims it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.agent.identity import identify
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.config import Profile
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.config.profiles import read_profiles
from hybrid_executor.config.warm import WarmPods
from hybrid_executor.errors import ConfigError
from hybrid_executor.events import AttemptId
from hybrid_executor.kube.warm_pod import claim_patch, warm_state, with_name
from hybrid_executor.sandbox.patching import json_patch
from hybrid_executor.sandbox.status import StatusError
from hybrid_executor.states import State
from hybrid_executor.store import Record

SETTINGS = KubernetesSettings(worker_container_repository="task", worker_container_tag="1")
WARM = Profile(name="warm", warm=WarmPods(priority_class="low"))
CASES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "", ""),
    ({}, '{"pod": {"metadata": {"labels": {"a": "b"}}}}', "executor_config"),
    ({"profile": "plain"}, "", "off"),
    ({"profile": ""}, "", "off"),
]


def factory(profile: Profile = WARM, **rest: Any) -> PodFactory:
    return PodFactory(SETTINGS, instance="test", profiles={"warm": profile, "plain": Profile(name="plain")}, **rest)


def record(**rest: Any) -> Record:
    values = {"dag_id": "dag", "task_id": "task", "run_id": "run", "queue": "q", "profile": "warm"} | rest
    return Record(id=AttemptId("a-1"), state=State.SUBMITTED, generation=3, launches=1, **values)


def test_a_waiting_pod_belongs_to_no_attempt_and_holds_no_workload() -> None:
    waiting = factory().build_waiting(WARM)
    assert identify(waiting.pod) is None
    assert warm_state(waiting.pod) == "waiting"
    [container] = waiting.pod["spec"]["containers"]
    assert (container["stdin"], container["stdinOnce"]) == (True, True)
    assert container["args"][:2] == ["python", "-c"]
    assert waiting.pod["spec"]["priorityClassName"] == "low"


def test_pods_are_of_one_kind_until_anything_changes() -> None:
    other = Profile(name="warm", warm=WARM.warm, executor_config={"pod_override": {"metadata": {"labels": {"x": "y"}}}})
    assert factory().build_waiting(WARM).kind == factory().build_waiting(WARM).kind
    assert factory(other).build_waiting(other).kind != factory().build_waiting(WARM).kind


def test_a_claim_gives_the_pod_the_labels_that_a_cold_pod_has(tmp_path: Path) -> None:
    made = factory()
    waiting = made.build_waiting(WARM)
    request = made.request(record(), payload="{}", overrides="")
    patch = claim_patch(request, annotations={"hybrid-executor/generation": "3"}, claim="c")
    claimed = json_patch(with_name(waiting.pod, name="w", kind=waiting.kind), patch)
    cold = made.build(record(), payload="{}", overrides="").pod
    for part in ("labels", "annotations"):
        assert cold["metadata"][part].items() <= claimed["metadata"][part].items()
    assert warm_state(claimed) == "claimed"
    with pytest.raises(StatusError, match="testing path"):
        json_patch(claimed, patch)


@pytest.mark.parametrize(("fields", "overrides", "reason"), CASES)
def test_what_differs_from_the_profile_starts_cold(fields: dict[str, Any], overrides: str, reason: str) -> None:
    assert factory().why_cold(record(**fields), overrides=overrides) == reason


def test_a_mutation_hook_may_look_at_the_task_unless_the_profile_says_otherwise() -> None:
    ignoring = Profile(name="warm", warm=WarmPods(hook_ignores_task=True))

    def hook(pod: Any) -> None:
        pod.metadata.labels["hooked"] = "yes"

    assert factory(hook=hook).why_cold(record(), overrides="") == "hook"
    assert factory(ignoring, hook=hook).why_cold(record(), overrides="") == ""
    assert factory(ignoring, hook=hook).build_waiting(ignoring).pod["metadata"]["labels"]["hooked"] == "yes"


@pytest.mark.parametrize(
    ("warm", "words"),
    [
        ("{idel: 2}", "unknown key 'idel' in warm. Did you mean idle"),
        ("{idle: two}", "warm has idle = 'two'; write a whole number, at least 0"),
        ("{idle: 5, most: 3}", "warm has most = 3; write at least idle, which is 5"),
        ("{idle_seconds: 1}", "write a number of seconds, at least 10"),
        ("{hook_ignores_task: 1}", "write true or false"),
        ("{priority_class: 1}", "write the name of a priority class"),
        ("2", "profile 'p' has warm = 2; write a mapping"),
    ],
)
def test_a_wrong_setting_says_what_to_write(tmp_path: Path, warm: str, words: str) -> None:
    (tmp_path / "profiles.yaml").write_text(f"p: {{warm: {warm}}}")
    with pytest.raises(ConfigError, match=words):
        read_profiles(str(tmp_path / "profiles.yaml"))


def test_settings_have_defaults(tmp_path: Path) -> None:
    (tmp_path / "profiles.yaml").write_text("p: {warm: {}}\nq: {warm: {idle: 30}}\nr: {}")
    profiles = read_profiles(str(tmp_path / "profiles.yaml"))
    assert profiles["p"].warm == WarmPods(idle=1, most=20, idle_seconds=600, lifetime_seconds=3600)
    assert profiles["q"].warm == WarmPods(idle=30, most=30)
    assert profiles["r"].warm is None
