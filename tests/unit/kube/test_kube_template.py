"""Pod template files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import ConfigError, TaskRejected
from hybrid_executor.kube.manifest import get_base_pod_from_template
from hybrid_executor.kube.overrides import Overrides
from hybrid_executor.kube.request import PodRequest
from hybrid_executor.kube.template import TemplateCache, TemplateChoice, choose_template

POD = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: base\n    image: {image}\n"
PROFILE = Overrides(template_file="/profile")
TASK = Overrides(template_file="/task")


def write(path: Path, text: str) -> TemplateChoice:
    path.write_text(text, encoding="utf-8")
    return TemplateChoice(str(path), "[kubernetes_executor] pod_template_file")


def request_of(**changes: Any) -> PodRequest:
    return PodRequest(kind="task", attempt_id="a", instance="i", queue="q", payload="{}", **changes)


@pytest.mark.parametrize(
    ("request_", "path", "option"),
    [
        (request_of(), "/configured", "[kubernetes_executor] pod_template_file"),
        (request_of(profile_overrides=PROFILE), "/profile", "profile"),
        (request_of(profile_overrides=PROFILE, overrides=TASK), "/task", "executor_config"),
        (
            request_of(overrides=TASK, coordinator_template_file="/java"),
            "/java",
            "[sdk] coordinators",
        ),
    ],
)
def test_the_nearest_template_is_chosen(request_: PodRequest, path: str, option: str) -> None:
    choice = choose_template(request_, KubernetesSettings(pod_template_file="/configured"))
    assert choice.path == path
    assert option in choice.option


def test_without_any_file_the_built_in_template_is_used() -> None:
    template = TemplateCache().load(choose_template(request_of(), KubernetesSettings()))
    assert template["spec"] == {"restartPolicy": "Never", "containers": [{"name": "base"}]}


def test_a_template_is_parsed_once_and_again_when_its_file_changes(tmp_path: Path) -> None:
    cache = TemplateCache()
    choice = write(tmp_path / "t.yaml", POD.format(image="one"))
    first = cache.load(choice)
    assert cache.load(choice) is first
    write(tmp_path / "t.yaml", POD.format(image="three"))
    assert cache.load(choice)["spec"]["containers"][0]["image"] == "three"
    os.utime(choice.path, ns=(1, 1))
    assert cache.load(choice)["spec"]["containers"][0]["image"] == "three"


def test_a_missing_template_names_path_and_option(tmp_path: Path) -> None:
    choice = TemplateChoice(str(tmp_path / "none.yaml"), "[kubernetes_executor] pod_template_file")
    with pytest.raises(TaskRejected) as caught:
        TemplateCache().load(choice)
    assert str(tmp_path / "none.yaml") in str(caught.value)
    assert "Set [kubernetes_executor] pod_template_file" in str(caught.value)


def test_a_wrong_template_stops_a_process_that_starts_with_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        TemplateCache().require(TemplateChoice(str(tmp_path / "none.yaml"), "option"))
    TemplateCache().require(write(tmp_path / "t.yaml", POD.format(image="one")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Pod\nspec: [unclosed\n", "not valid YAML: line 3"),
        ("kind: Pod\nspec:\n\tcontainers: []\n", "line 3"),
        ("kind: Deployment\n", "holds Deployment, not a Pod"),
        ("just text\n", "holds str, not a Pod"),
        ("", "holds NoneType, not a Pod"),
        ("kind: Pod\n---\nkind: Pod\n", "line 2"),
        ("kind: Pod\nspec: [1]\n", "spec is not a mapping"),
        ("kind: Pod\nmetadata: x\n", "metadata is not a mapping"),
        ("kind: Pod\nspec: {containers: {name: base}}\n", "spec.containers is not a list of mappings"),
    ],
)
def test_a_malformed_template_is_refused_with_the_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(TaskRejected) as caught:
        TemplateCache().load(write(tmp_path / "t.yaml", text))
    assert words in str(caught.value)
    assert str(tmp_path / "t.yaml") in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_bytes(b"kind: \xff\xfe")
    with pytest.raises(TaskRejected, match="not valid YAML"):
        TemplateCache().load(TemplateChoice(str(tmp_path / "t.yaml"), "option"))


def test_yaml_dates_and_numbers_as_keys_become_text_and_nulls_are_unset(tmp_path: Path) -> None:
    text = "kind: Pod\nmetadata:\n  creationTimestamp: null\n  annotations: {1: 2026-01-01, b: 2026-01-01T00:00:00Z}\n"
    assert TemplateCache().load(write(tmp_path / "t.yaml", text))["metadata"] == {
        "annotations": {"1": "2026-01-01", "b": "2026-01-01T00:00:00+00:00"}
    }


def test_the_documented_function_returns_a_model(tmp_path: Path) -> None:
    choice = write(tmp_path / "t.yaml", POD.format(image="one") + "    resources: {requests: {cpu: 1}}\n")
    pod: Any = get_base_pod_from_template(choice.path, None)
    assert pod.spec.containers[0].image == "one"
    assert pod.spec.containers[0].resources.requests == {"cpu": "1"}
    built_in: Any = get_base_pod_from_template(None, None)
    assert built_in.spec.restart_policy == "Never"
