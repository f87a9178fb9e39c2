"""From record and workload to manifest; which namespaces are watched; the hook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.agent.identity import identify
from hybrid_executor.agent.launch.mutation_hook import Hook, load_mutation_hook
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.namespaces import namespaces_to_watch
from hybrid_executor.config import DictConfig, Profile, read_settings
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import TaskRejected
from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Record

SETTINGS = KubernetesSettings(worker_container_repository="task", worker_container_tag="1")
GPU = Profile(
    name="gpu",
    namespace="gpu",
    executor_config={"pod_override": {"spec": {"nodeSelector": {"accelerator": "yes"}}}},
)


def record(**rest: Any) -> Record:
    values = {"dag_id": "dag", "task_id": "task", "run_id": "run", "try_number": 1, "queue": "q"} | rest
    return Record(id=AttemptId("a-1"), state=State.SUBMITTED, **{"generation": 1, **values})


def factory(hook: Hook | None = None) -> PodFactory:
    return PodFactory(SETTINGS, instance="test", profiles={"gpu": GPU}, hook=hook, airflow_version="3.3.2")


def test_the_same_launch_has_the_same_name_and_another_launch_another() -> None:
    first = factory().build(record(), payload="{}", overrides="")
    again = factory().build(record(), payload="{}", overrides="")
    relaunched = factory().build(record(launches=1, generation=2), payload="{}", overrides="")
    renamed = factory().build(record(), payload="{}", overrides="", rename=1)
    assert first.name == again.name
    assert len({first.name, relaunched.name, renamed.name}) == 3


def test_a_pod_without_a_namespace_after_the_hook_gets_the_configured_one() -> None:
    def hook(pod: Any) -> None:
        pod.metadata.namespace = None

    manifest = factory(hook).build(record(), payload="{}", overrides="")
    assert (manifest.namespace, manifest.pod["metadata"]["namespace"]) == ("default", "default")


def test_a_pod_says_whose_it_is_and_for_which_generation() -> None:
    manifest = factory().build(record(launches=2, generation=5), payload='{"w": 1}', overrides="")
    identity = identify(manifest.pod)
    assert identity is not None
    assert (identity.attempt, identity.launch, identity.generation) == ("a-1", 2, 5)
    assert manifest.pod["spec"]["containers"][0]["args"][-1] == '{"w": 1}'


def test_profile_then_executor_config_then_hook_decide() -> None:
    def hook(pod: Any) -> None:
        pod.metadata.annotations["hooked"] = pod.metadata.namespace

    overrides = {"pod": {"metadata": {"namespace": "mine"}, "spec": {"nodeSelector": {"zone": "a"}}}}
    from_profile = factory().build(record(profile="gpu"), payload="{}", overrides="")
    both = factory(hook).build(record(profile="gpu"), payload="{}", overrides=json.dumps(overrides))
    assert from_profile.namespace == "gpu"
    assert from_profile.pod["spec"]["nodeSelector"] == {"accelerator": "yes"}
    assert both.namespace == "mine"
    assert both.pod["spec"]["nodeSelector"]["zone"] == "a"
    assert both.pod["metadata"]["annotations"]["hooked"] == "mine"
    identity = identify(both.pod)
    assert identity is not None
    assert identity.generation == 1


def test_a_profile_that_the_agent_does_not_know_is_named() -> None:
    with pytest.raises(TaskRejected, match="profiles_file"):
        factory().build(record(profile="tpu"), payload="{}", overrides="")


def test_a_profile_with_a_wrong_executor_config_is_named() -> None:
    wrong = Profile(name="wrong", executor_config={"pod_override": 3})
    maker = PodFactory(SETTINGS, instance="test", profiles={"wrong": wrong})
    with pytest.raises(TaskRejected, match="Profile 'wrong'"):
        maker.build(record(profile="wrong"), payload="{}", overrides="")


def test_a_manifest_shows_neither_its_workload_nor_its_overrides() -> None:
    manifest = factory().build(record(), payload="secret", overrides="")
    assert "secret" not in repr(manifest)


@pytest.fixture
def profiles_file(tmp_path: Path) -> Path:
    path = tmp_path / "profiles.yaml"
    path.write_text("gpu: {namespace: gpu}\nfar: {cluster_context: far}\nunused: {namespace: unused}\n")
    return path


@pytest.mark.parametrize(
    ("cluster", "kubernetes", "namespaces"),
    [
        ("default", KubernetesSettings(), ("default", "gpu")),
        ("far", KubernetesSettings(namespace="tasks"), ("tasks",)),
        ("default", KubernetesSettings(multi_namespace_mode=True), (None,)),
        ("far", KubernetesSettings(multi_namespace_mode=True, namespace_list=("x", "y")), ("x", "y", "default")),
        (
            "default",
            KubernetesSettings(multi_namespace_mode=True, namespace_list=("x",)),
            ("x", "default", "gpu"),
        ),
    ],
)
def test_the_namespaces_that_routes_lead_to_are_watched(
    cluster: str, kubernetes: KubernetesSettings, namespaces: tuple[str | None, ...], profiles_file: Path
) -> None:
    routes = "gpu-*=kubernetes:gpu, far=kubernetes:far, k=kubernetes, *=celery"
    settings = read_settings(DictConfig({"hybrid_executor": {"routes": routes, "profiles_file": str(profiles_file)}}))
    assert namespaces_to_watch(cluster, settings, kubernetes) == namespaces


def test_without_a_hook_nothing_of_airflow_is_imported(tmp_path: Path) -> None:
    assert load_mutation_hook(config_folder=str(tmp_path), plugins_folder="") is None
