"""What is named when an agent starts: misspelt fields, wrong shapes, keys given twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.config.profiles import read_profiles
from hybrid_executor.config.yaml_keys import keys_given_twice
from hybrid_executor.kube.findings import findings_of_pod


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        ({"spec": {"tolerationz": []}}, "spec.tolerationz is not a field .*: did you mean tolerations"),
        (
            {"spec": {"containers": [{"name": "base", "imagePullPolice": "Always"}]}},
            r"spec.containers\[0\].imagePullPol",
        ),
        (
            {"spec": {"containers": [{"env": [{"name": "A", "val": 1}]}]}},
            r"containers\[0\].env\[0\].val is not a field",
        ),
        ({"spec": {"securityContext": {"runAsUsr": 1}}}, "securityContext.runAsUsr .*did you mean runAsUser"),
        ({"spec": {"containers": {"name": "base"}}}, "spec.containers is a mapping: write a list"),
        ({"spec": {"nodeSelector": ["a"]}}, "spec.nodeSelector is a list: write a mapping"),
        ({"spec": {"hostNetwork": "perhaps"}}, "spec.hostNetwork is text: write a boolean"),
        ({"spec": {"priority": "high"}}, "spec.priority is text: write a whole number"),
        ({"spec": {"hostname": {"a": 1}}}, "spec.hostname is a mapping: write text"),
        ({"spec": "none"}, "spec is text: write a mapping"),
        ({"spec": {"restartPolicy": "Always"}}, "restartPolicy is Always, .* Never is used instead"),
        ({"spec": {"restartPolicy": "OnFailure"}}, "restartPolicy is OnFailure"),
        ({"mettadata": {}}, "mettadata is not a field .*did you mean metadata"),
    ],
)
def test_a_pod_that_cannot_be_meant_so_is_told_with_the_path(pod: dict[str, Any], words: str) -> None:
    [found] = findings_of_pod(pod)
    assert re.search(words, found)


def test_a_right_pod_has_no_findings_and_numbers_for_text_are_none() -> None:
    container = {"name": "base", "env": [{"name": "A", "value": 1}], "resources": {"limits": {"cpu": 1}}}
    probe = {"httpGet": {"port": 80, "path": "/"}}
    spec = {"containers": [{**container, "livenessProbe": probe}], "restartPolicy": "Never", "hostname": None}
    assert findings_of_pod({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": 1}}, "spec": spec}) == []


def test_keys_given_twice_are_told_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "template.yaml"
    file.write_text("spec:\n  containers:\n  - name: base\n    image: a\n    image: b\nspec: {}\n")
    assert keys_given_twice(str(file)) == [
        "the key 'image' in line 5 is also in line 4: the last one is used",
        "the key 'spec' in line 6 is also in line 1: the last one is used",
    ]


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "base: &b {a: 1}\nx: {<<: *b, a: 2}\ny: {<<: *b, <<: *b}"])
def test_a_file_without_such_keys_or_without_sense_has_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    assert keys_given_twice(str(file)) == []
    assert keys_given_twice(str(tmp_path / "missing")) == []


def test_an_agent_names_what_it_finds_in_templates_and_profiles(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    template, other = tmp_path / "template.yaml", tmp_path / "other.yaml"
    template.write_text("spec: {containers: [{name: base, imagee: x}], nodeSelector: {a: b}, nodeSelector: {}}")
    other.write_text("spec: [")
    profiles = tmp_path / "profiles.yaml"
    gpu = {"executor_config": {"pod_override": {"spec": {"toleration": []}}}}
    legacy = {"executor_config": {"KubernetesExecutor": {"imagge": "x"}}}
    described = {"gpu": gpu, "other": {"pod_template_file": str(other)}, "legacy": legacy}
    profiles.write_text(yaml.safe_dump(described))
    factory = PodFactory(
        KubernetesSettings(pod_template_file=str(template)), instance="i", profiles=read_profiles(str(profiles))
    )
    found = "\n".join(factory.findings())
    assert f"Pod template {template} ([kubernetes_executor] pod_template_file): the key 'nodeSelector'" in found
    assert "spec.containers[0].imagee is not a field" in found
    assert "Profile 'gpu': spec.toleration is not a field" in found
    assert f"Pod template {other} is not valid YAML" in found
    assert "Profile 'legacy'" in found
    profiles.write_text("gpu: {namespace: a}\ngpu: {namespace: b}\n")
    assert read_profiles(str(profiles))["gpu"].namespace == "b"
    assert "the key 'gpu' in line 2 is also in line 1" in caplog.text
