"""The pod that runs one workload."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes import client as k8s

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import TaskRejected
from hybrid_executor.kube.manifest import PodRequest, apply_mutation_hook, build_pod
from hybrid_executor.kube.models import plain, pod_of
from hybrid_executor.kube.names import annotations_of, labels_of, pod_name
from hybrid_executor.kube.overrides import Overrides, read_overrides
from hybrid_executor.kube.template import BUILT_IN_TEMPLATE

IMAGE = KubernetesSettings(worker_container_repository="apache/airflow", worker_container_tag="3.3.2")
BARE = KubernetesSettings()
ARGS = ["python", "-m", "airflow.sdk.execution_time.execute_workload", "--json-string"]
WORKLOAD = '{"token":"t"}'


def request_of(**changes: Any) -> PodRequest:
    fields: dict[str, Any] = {
        "kind": "task",
        "attempt_id": "0193a5c4",
        "instance": "prod",
        "queue": "gpu",
        "payload": WORKLOAD,
        "dag_id": "d",
        "task_id": "t",
        "run_id": "r",
        "try_number": 1,
    }
    return PodRequest(**{**fields, **changes})


def template(**base: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"tier": "airflow"}, "namespace": "template"},
        "spec": {"containers": [{"name": "base", "image": "template:1", **base}], "serviceAccountName": "sa"},
    }


def base_of(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = [container for container in pod["spec"]["containers"] if container["name"] == "base"]
    result: dict[str, Any] = found
    return result


def with_override(override: dict[str, Any], **changes: Any) -> PodRequest:
    return request_of(overrides=read_overrides({"pod_override": override}), **changes)


def test_without_a_template_a_complete_minimal_pod_is_made() -> None:
    request = request_of()
    assert build_pod(request, IMAGE, BUILT_IN_TEMPLATE) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name("d", "t", "0193a5c4", 0),
            "namespace": "default",
            "labels": labels_of(request),
            "annotations": annotations_of(request),
        },
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "base",
                    "image": "apache/airflow:3.3.2",
                    "args": [*ARGS, WORKLOAD],
                    "env": [
                        {"name": "AIRFLOW_IS_K8S_EXECUTOR_POD", "value": "True"},
                        {"name": "CONNECTION_CHECK_MAX_COUNT", "value": "0"},
                    ],
                }
            ],
        },
    }


def test_the_templates_command_stays_and_its_arguments_do_not() -> None:
    base = base_of(build_pod(request_of(), BARE, template(command=["/entrypoint"], args=["old"], env=[{"name": "A"}])))
    assert base["command"] == ["/entrypoint"]
    assert base["args"] == [*ARGS, WORKLOAD]
    assert [entry["name"] for entry in base["env"]] == [
        "A",
        "AIRFLOW_IS_K8S_EXECUTOR_POD",
        "CONNECTION_CHECK_MAX_COUNT",
    ]


@pytest.mark.parametrize("layer", ["template", "override"])
def test_a_layer_that_wants_the_database_check_gets_it(layer: str) -> None:
    variable = {"name": "CONNECTION_CHECK_MAX_COUNT", "value": "5"}
    override = {"spec": {"containers": [{"name": "base", "env": [variable]}]}}
    pod = (
        build_pod(request_of(), BARE, template(env=[variable]))
        if layer == "template"
        else build_pod(with_override(override), BARE, template())
    )
    assert [entry for entry in base_of(pod)["env"] if entry["name"] == variable["name"]] == [variable]


def test_a_restart_policy_of_the_template_stays_and_is_never_otherwise() -> None:
    asked = template()
    asked["spec"]["restartPolicy"] = "OnFailure"
    assert build_pod(request_of(), BARE, asked)["spec"]["restartPolicy"] == "OnFailure"
    assert build_pod(request_of(), BARE, template())["spec"]["restartPolicy"] == "Never"


def image(name: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "base", "image": name}]}}


PROFILE = Overrides(image("profile:1"))


@pytest.mark.parametrize(
    ("request_", "configured", "expected"),
    [
        (request_of(), BARE, "template:1"),
        (request_of(), IMAGE, "apache/airflow:3.3.2"),
        (request_of(profile_overrides=PROFILE), IMAGE, "profile:1"),
        (request_of(profile_overrides=PROFILE, coordinator_image="java:1"), IMAGE, "java:1"),
        (
            with_override(image("task:1"), profile_overrides=PROFILE, coordinator_image="java:1"),
            IMAGE,
            "task:1",
        ),
    ],
)
def test_the_nearest_image_wins(request_: PodRequest, configured: KubernetesSettings, expected: str) -> None:
    assert base_of(build_pod(request_, configured, template()))["image"] == expected


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (request_of(), "configured"),
        (request_of(profile_overrides=Overrides({"metadata": {"namespace": "profile-pod"}})), "profile-pod"),
        (request_of(namespace="profile"), "profile"),
        (with_override({"metadata": {"namespace": "task"}}, namespace="profile"), "task"),
    ],
)
def test_the_nearest_namespace_wins_over_that_of_the_template(request_: PodRequest, expected: str) -> None:
    pod = build_pod(request_, KubernetesSettings(namespace="configured"), template())
    assert pod["metadata"]["namespace"] == expected


def test_parts_are_laid_over_each_other_template_profile_executor_config() -> None:
    request = with_override(
        {"metadata": {"labels": {"b": "task", "c": "task"}}},
        profile_overrides=Overrides({"metadata": {"labels": {"a": "profile", "b": "profile"}}}),
    )
    labels = build_pod(request, BARE, {**template(), "metadata": {"labels": {"a": "template", "d": "template"}}})[
        "metadata"
    ]["labels"]
    assert {name: labels[name] for name in "abcd"} == {"a": "profile", "b": "task", "c": "task", "d": "template"}


def test_neither_override_nor_hook_can_take_the_pods_identity_away() -> None:
    claim = {
        "metadata": {
            "name": "mine",
            "labels": {"hybrid-executor/instance": "other", "hybrid-executor/attempt": "other"},
            "annotations": {"hybrid-executor/attempt": "other"},
        }
    }
    request = with_override(claim)

    def hook(pod: Any) -> None:
        pod.metadata.name = "mine"
        pod.metadata.labels = {"only": "this"}
        pod.metadata.annotations = None

    pod = build_pod(request, IMAGE, BUILT_IN_TEMPLATE)
    for found in (pod, apply_mutation_hook(pod, hook)):
        assert found["metadata"]["name"] == pod_name("d", "t", "0193a5c4", 0)
        assert found["metadata"]["labels"]["hybrid-executor/instance"] == "prod"
        assert found["metadata"]["annotations"]["hybrid-executor/attempt"] == "0193a5c4"
    assert apply_mutation_hook(pod, hook)["metadata"]["labels"]["only"] == "this"


def test_the_workload_runs_in_the_first_container_where_none_is_named_base() -> None:
    asked: dict[str, Any] = {
        "spec": {"containers": [{"name": "worker", "image": "i:1"}, {"name": "sidecar", "image": "s:1"}]}
    }
    pod = build_pod(request_of(), BARE, asked)
    assert [container["name"] for container in pod["spec"]["containers"]] == ["base", "sidecar"]
    assert base_of(pod)["args"][-1] == WORKLOAD
    assert asked["spec"]["containers"][0]["name"] == "worker"


def test_the_workload_runs_in_base_wherever_it_stands() -> None:
    asked: dict[str, Any] = {
        "spec": {"containers": [{"name": "sidecar", "image": "s:1"}, {"name": "base", "image": "i:1"}]}
    }
    pod = build_pod(request_of(), BARE, asked)
    assert [container["name"] for container in pod["spec"]["containers"]] == ["sidecar", "base"]
    assert base_of(pod)["args"][-1] == WORKLOAD
    assert "args" not in pod["spec"]["containers"][0]


def test_what_a_server_wrote_into_a_template_is_dropped() -> None:
    asked = {**template(), "status": {"phase": "Running"}}
    asked["metadata"] = {"uid": "u", "resourceVersion": "5", "generateName": "x-", "labels": {"a": "b"}}
    pod = build_pod(request_of(), BARE, asked)
    assert set(pod["metadata"]) == {"name", "namespace", "labels", "annotations"}
    assert "status" not in pod


def test_a_pod_without_an_image_is_refused_with_what_to_set() -> None:
    with pytest.raises(TaskRejected, match="worker_container_repository"):
        build_pod(request_of(), BARE, BUILT_IN_TEMPLATE)


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TaskRejected, match="cannot be put together"):
        build_pod(request_of(overrides=Overrides({"metadata": {"labels": 5}})), IMAGE, template())


def test_a_template_is_not_changed_by_the_pods_made_from_it() -> None:
    asked = template(env=[{"name": "A", "value": "1"}])
    before = copy.deepcopy(asked)
    build_pod(with_override({"spec": {"containers": [{"name": "base", "env": [{"name": "B"}]}]}}), IMAGE, asked)
    assert asked == before


@pytest.mark.parametrize("kind", ["callback", "connection_test"])
def test_other_workloads_than_tasks_get_a_pod_too(kind: str) -> None:
    pod = build_pod(request_of(kind=kind, dag_id="", task_id="", run_id="", try_number=0), IMAGE, BUILT_IN_TEMPLATE)
    assert pod["metadata"]["name"].startswith(kind.replace("_", "-"))
    assert pod["metadata"]["labels"]["hybrid-executor/kind"] == kind


def test_a_hook_changes_the_pod_through_its_model() -> None:
    def hook(pod: Any) -> None:
        pod.spec.tolerations = [k8s.V1Toleration(key="gpu", operator="Exists")]
        pod.metadata.annotations["cost"] = "high"

    before = build_pod(request_of(), IMAGE, template(resources={"requests": {"cpu": 1}}))
    after = apply_mutation_hook(before, hook)
    assert after["spec"]["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert after["metadata"]["annotations"]["cost"] == "high"
    assert base_of(after)["args"] == base_of(before)["args"]
    assert base_of(after)["resources"] == {"requests": {"cpu": "1"}}
    assert "tolerations" not in before["spec"]


def test_a_raising_hook_fails_the_task_with_its_own_words() -> None:
    def hook(pod: k8s.V1Pod) -> None:
        raise KeyError("team")

    with pytest.raises(TaskRejected, match=r"pod_mutation_hook raised KeyError: 'team'"):
        apply_mutation_hook(build_pod(request_of(), IMAGE, BUILT_IN_TEMPLATE), hook)


def test_a_pod_that_the_library_cannot_hold_is_refused_before_the_hook() -> None:
    pod = build_pod(request_of(), IMAGE, BUILT_IN_TEMPLATE)
    pod["spec"] = {**pod["spec"], "containers": [{"image": "nameless:1"}]}
    with pytest.raises(TaskRejected, match="cannot be given to pod_mutation_hook"):
        apply_mutation_hook(pod, lambda model: None)


NAMES = st.from_regex(r"[a-z]{1,4}", fullmatch=True)
TEXTS = st.text("abc01", min_size=1, max_size=4)
QUANTITIES = st.dictionaries(st.sampled_from(["cpu", "memory"]), st.sampled_from(["1", "500m", "2Gi"]), min_size=1)
ENVIRONMENT = st.lists(st.fixed_dictionaries({"name": NAMES, "value": TEXTS}), min_size=1, max_size=2)
CONTAINERS = st.fixed_dictionaries(
    {"name": st.sampled_from(["base", "sidecar"])},
    optional={
        "image": TEXTS,
        "env": ENVIRONMENT,
        "command": st.lists(TEXTS, min_size=1, max_size=2),
        "resources": st.fixed_dictionaries({}, optional={"requests": QUANTITIES, "limits": QUANTITIES}).filter(bool),
        "volumeMounts": st.lists(st.fixed_dictionaries({"name": NAMES, "mountPath": TEXTS}), min_size=1, max_size=2),
        "stdin": st.booleans(),
        "imagePullPolicy": st.sampled_from(["Always", "Never"]),
    },
)
PODS = st.fixed_dictionaries(
    {
        "spec": st.fixed_dictionaries(
            {"containers": st.lists(CONTAINERS, min_size=1, max_size=2, unique_by=lambda container: container["name"])},
            optional={
                "nodeSelector": st.dictionaries(NAMES, TEXTS, min_size=1, max_size=2),
                "tolerations": st.lists(st.fixed_dictionaries({"key": NAMES}), min_size=1, max_size=2),
                "volumes": st.lists(
                    st.fixed_dictionaries({"name": NAMES, "emptyDir": st.just({})}), min_size=1, max_size=2
                ),
                "hostNetwork": st.booleans(),
                "terminationGracePeriodSeconds": st.integers(0, 60),
                "initContainers": st.lists(
                    st.fixed_dictionaries({"name": NAMES, "image": TEXTS}), min_size=1, max_size=1
                ),
            },
        )
    },
    optional={
        "metadata": st.fixed_dictionaries(
            {}, optional={"labels": st.dictionaries(NAMES, TEXTS, min_size=1, max_size=2), "namespace": NAMES}
        ).filter(bool)
    },
)


@settings(max_examples=60, deadline=None)
@given(asked=PODS, override=PODS)
def test_the_path_through_plain_dicts_and_the_path_through_models_agree(
    asked: dict[str, Any], override: dict[str, Any]
) -> None:
    asked["spec"]["containers"][0].setdefault("image", "i")
    by_dict = build_pod(with_override(override), IMAGE, asked)
    by_model = build_pod(
        request_of(overrides=read_overrides({"pod_override": pod_of(override)})), IMAGE, plain(pod_of(asked))
    )
    assert by_dict == by_model
    assert plain(pod_of(by_dict)) == by_dict
    assert apply_mutation_hook(by_dict, lambda pod: None) == by_dict
