"""``executor_config`` as Dag authors write it."""

from __future__ import annotations

import datetime
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes import client as k8s

from hybrid_executor.errors import TaskRejected
from hybrid_executor.kube.overrides import Overrides, read_overrides

BASE = {"name": "base", "resources": {"requests": {"cpu": "1"}}}


def override() -> k8s.V1Pod:
    return k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(labels={"team_name": "a"}, namespace="gpu"),
        spec=k8s.V1PodSpec(
            containers=[
                k8s.V1Container(name="base", resources=k8s.V1ResourceRequirements(requests={"cpu": "1"}), stdin=False)
            ],
            host_network=False,
        ),
    )


@pytest.mark.parametrize(
    "nothing", [None, {}, {"pod_override": None}, {"KubernetesExecutor": {}}, {"pod_template_file": ""}]
)
def test_nothing_asked_for_is_an_empty_result(nothing: object) -> None:
    assert read_overrides(nothing) == Overrides()


def test_a_model_becomes_a_plain_pod_where_only_none_is_unset() -> None:
    assert read_overrides({"pod_override": override()}) == Overrides(
        {
            "metadata": {"labels": {"team_name": "a"}, "namespace": "gpu"},
            "spec": {"containers": [{**BASE, "stdin": False}], "hostNetwork": False},
        }
    )


def test_a_dict_shaped_like_a_pod_is_taken_as_it_is() -> None:
    pod = {"metadata": {"labels": {"team_name": "a"}}, "spec": {"containers": [BASE]}}
    assert read_overrides({"pod_override": {**pod, "status": {"phase": "Running"}}}) == Overrides(pod)


def test_models_may_stand_inside_a_dict() -> None:
    pod = {"spec": {"tolerations": [k8s.V1Toleration(key="gpu", operator="Exists")], "containers": []}}
    expected = {"tolerations": [{"key": "gpu", "operator": "Exists"}], "containers": []}
    assert read_overrides({"pod_override": pod}) == Overrides({"spec": expected})


def test_the_form_in_which_airflow_stores_a_pod_is_understood() -> None:
    stored = {"__type": "k8s.V1Pod", "__var": {"spec": {"containers": [BASE]}}}
    assert read_overrides({"pod_override": stored}) == Overrides({"spec": {"containers": [BASE]}})


def test_a_template_file_may_come_with_an_override() -> None:
    config = {"pod_template_file": "/t.yaml", "pod_override": {"spec": {"containers": [BASE]}}}
    assert read_overrides(config) == Overrides({"spec": {"containers": [BASE]}}, "/t.yaml")


def test_keys_for_other_executors_are_ignored() -> None:
    assert read_overrides({"CeleryExecutor": {"x": object()}, "LocalExecutor": 1, "note": "n"}) == Overrides()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("text", "write a dict"),
        ({"pod_override": k8s.V1PodSpec(containers=[])}, "write a kubernetes.client.V1Pod"),
        ({"pod_override": "text"}, "write a kubernetes.client.V1Pod or a dict"),
        ({"pod_override": str(override())}, "on Airflow 3.2 needs apache-airflow-providers-cncf-kubernetes"),
        ({"pod_override": {"specs": {}}}, "Did you mean 'spec'?"),
        ({"pod_override": {"image": "x"}}, "a pod has metadata and spec"),
        ({"pod_override": {"spec": [1]}}, "write a dict"),
        ({"pod_override": {"spec": {"service_account_name": "x"}}}, "write 'serviceAccountName'"),
        ({"pod_override": {"spec": {"containers": [{"volume_mounts": []}]}}}, "write 'volumeMounts'"),
        ({"pod_override": {"spec": {"containers": {"name": "base"}}}}, "write a list of dicts"),
        ({"pod_override": {"spec": {"containers": [], "x": {1, object}}}}, "which a pod cannot have"),
        ({"pod_template_file": 5}, "write a file's path"),
        (
            {"pod_override": override(), "KubernetesExecutor": {"image": "x"}},
            "has both 'pod_override' and 'KubernetesExecutor'",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_write(config: object, words: str) -> None:
    with pytest.raises(TaskRejected) as caught:
        read_overrides(config)
    assert words in str(caught.value)
    assert "executor_config" in str(caught.value)


def test_a_model_of_another_library_version_is_refused_and_not_raised_through() -> None:
    class V1Pod:
        openapi_types = {"spec": "V1PodSpec", "added_since": "str"}
        attribute_map = {"spec": "spec", "added_since": "addedSince"}
        spec = None

        def to_dict(self) -> dict[str, Any]:
            return {name: getattr(self, name) for name in self.openapi_types}

    with pytest.raises(TaskRejected, match="made by another version of the kubernetes library"):
        read_overrides({"pod_override": V1Pod()})


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.dates(), st.decimals(allow_nan=False)),
        lambda inner: st.one_of(st.lists(inner), st.tuples(inner), st.dictionaries(st.text(), inner)),
        max_leaves=10,
    )
)
def test_a_result_is_always_json(value: object) -> None:
    result = read_overrides({"pod_override": {"spec": {"containers": [], "x": value}}})
    assert Overrides.from_text(result.to_text()) == result


def test_dates_become_text() -> None:
    config = {"pod_override": {"metadata": {"annotations": {"day": datetime.date(2026, 1, 2)}}}}
    assert read_overrides(config).pod["metadata"]["annotations"] == {"day": "2026-01-02"}


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (Overrides(), ""),
        (Overrides({"spec": {"x": 1}}), '{"pod":{"spec":{"x":1}}}'),
        (Overrides({"spec": {"x": 1}}, "/t.yaml"), '{"pod":{"spec":{"x":1}},"template_file":"/t.yaml"}'),
        (Overrides(template_file="/t.yaml"), '{"template_file":"/t.yaml"}'),
    ],
)
def test_overrides_are_kept_as_readable_json(overrides: Overrides, text: str) -> None:
    assert overrides.to_text() == text
    assert Overrides.from_text(text) == overrides


def test_plain_configs_do_not_load_the_kubernetes_library() -> None:
    code = (
        "import sys\n"
        "from hybrid_executor.kube import client, diagnosis, manifest, names, overrides, refusal, template, watch\n"
        "overrides.read_overrides({'KubernetesExecutor': {'image': 'x'}})\n"
        "overrides.read_overrides({'pod_override': {'spec': {'containers': []}}})\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('kubernetes', 'airflow')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
