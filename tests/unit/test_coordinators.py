"""``[sdk] coordinators`` and ``queue_to_coordinator``, as far as they concern pods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.config import DictConfig
from hybrid_executor.config.coordinators import CoordinatorPod, read_coordinator_pods
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import ConfigError
from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Record

JAVA = {
    "classpath": "airflow.sdk.coordinators.java.JavaCoordinator",
    "kwargs": {"jars_root": ["/jars"]},
    "extra": {
        "pod_template_file": "/templates/java.yaml",
        "worker_container_repository": "java",
        "worker_container_tag": "17",
    },
}


def read(coordinators: Any = None, queues: Any = None) -> dict[str, CoordinatorPod]:
    given = {"coordinators": coordinators, "queue_to_coordinator": queues}
    return read_coordinator_pods(
        DictConfig({"sdk": {name: json.dumps(value) for name, value in given.items() if value is not None}})
    )


def test_what_a_coordinator_asks_of_pods_is_found_by_queue() -> None:
    found = read({"jdk-17": JAVA, "go": {"classpath": "x"}}, {"java": "jdk-17", "go-queue": "go"})
    assert found == {"java": CoordinatorPod(template_file="/templates/java.yaml", image="java:17")}


def test_nothing_configured_is_nothing_asked() -> None:
    assert read() == {}


@pytest.mark.parametrize(
    ("coordinators", "queues", "words"),
    [
        ({}, {"java": "jdk-17"}, r"\[sdk\] queue_to_coordinator.*for queue 'java'"),
        ([], {}, r"\[sdk\] coordinators.*a JSON object"),
        ({"a": {"extra": {"worker_container_tag": "17"}}}, {"q": "a"}, "worker_container_repository"),
        ({"a": {"extra": {"pod_template_file": 3}}}, {"q": "a"}, "pod_template_file"),
        ({"a": {"extra": "java"}}, {"q": "a"}, "extra"),
    ],
)
def test_a_wrong_value_names_option_and_remedy(coordinators: Any, queues: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(coordinators, queues)


def test_the_pods_of_its_queue_get_the_coordinators_template_and_image(tmp_path: Path) -> None:
    template = tmp_path / "java.yaml"
    template.write_text("spec: {nodeSelector: {jvm: 'yes'}, containers: [{name: base, image: other}]}")
    settings = KubernetesSettings(worker_container_repository="task", worker_container_tag="1")
    wanted = CoordinatorPod(template_file=str(template), image="java:17")
    factory = PodFactory(settings, instance="test", profiles={}, coordinator_pods={"java": wanted})

    def pod_of(queue: str) -> dict[str, Any]:
        record = Record(id=AttemptId("a"), state=State.SUBMITTED, generation=1, queue=queue)
        spec: dict[str, Any] = factory.build(record, payload="{}", overrides="").pod["spec"]
        return spec

    assert pod_of("java")["nodeSelector"] == {"jvm": "yes"}
    assert pod_of("java")["containers"][0]["image"] == "java:17"
    assert pod_of("python")["containers"][0]["image"] == "task:1"
