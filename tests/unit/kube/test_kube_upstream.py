"""Field by field: the pod is what upstream's KubernetesExecutor makes of the same input, but for what is said here.

``upstream.json`` is what upstream made; a leg of ``make matrix`` runs upstream again, where it is installed.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.kube.manifest import apply_mutation_hook, build_pod
from hybrid_executor.kube.overrides import read_overrides
from hybrid_executor.kube.request import PodRequest
from hybrid_executor.kube.template import TemplateChoice, read_template
from tests.pod_corpus import hooks

CORPUS = Path(hooks.__file__).parent
CASES: list[dict[str, Any]] = yaml.safe_load((CORPUS / "cases.yaml").read_text())
NAMESPACE = "tasks"
# Who launched it: upstream's watchers find their pods by these, ours by labels and annotations of our own.
THEIR_LABELS = ("kubernetes_executor", "airflow-worker", "airflow_version")


def upstream_pods() -> dict[str, Any]:
    """Return the recorded pods, or those of the upstream whose Python ``HYBRID_TEST_UPSTREAM`` names."""
    python = os.environ.get("HYBRID_TEST_UPSTREAM")
    if not python:
        recorded: dict[str, Any] = json.loads((CORPUS / "upstream.json").read_text())
        return recorded
    told = subprocess.run([python, str(CORPUS / "upstream.py")], check=True, capture_output=True, text=True)
    made: dict[str, Any] = json.loads(told.stdout)
    return made


@pytest.fixture(scope="module")
def upstream() -> dict[str, Any]:
    return upstream_pods()


def our_pod(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return our pod of a case, as it is sent to the API server."""
    file = folder / "template.yaml"
    file.write_text(case["template"])
    repository, _, tag = case.get("image", "").partition(":")
    settings = KubernetesSettings(namespace=NAMESPACE, worker_container_repository=repository, worker_container_tag=tag)
    request = PodRequest(
        kind="task",
        attempt_id="a",
        instance="airflow",
        queue="q",
        payload="{}",
        dag_id="dag",
        task_id="task",
        run_id="run",
        try_number=1,
        overrides=read_overrides({"pod_override": case["override"]} if "override" in case else {}),
    )
    pod = build_pod(request, settings, read_template(TemplateChoice(str(file), "pod_template_file")))
    if "hook" in case:
        pod = apply_mutation_hook(pod, getattr(hooks, case["hook"]))
    sent: dict[str, Any] = json.loads(json.dumps(pod))
    return sent


def without_identity(pod: dict[str, Any]) -> dict[str, Any]:
    """Return the pod without name, and without the labels and annotations by which each executor finds its own."""
    pod = copy.deepcopy(pod)
    metadata = pod["metadata"]
    metadata.pop("name")
    for part in ("labels", "annotations"):
        names = [name for name in metadata[part] if name.startswith("hybrid-executor/") or name in THEIR_LABELS]
        for name in names:
            del metadata[part][name]
    pod["spec"].setdefault("restartPolicy", "Never")  # upstream leaves it to the API, which says Always
    return {"metadata": metadata, "spec": pod["spec"]}


def put(pod: Any, path: str, value: Any) -> None:
    """Write a value at a path such as ``spec.containers.0.name``; None removes what is there."""
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    for part in parents:
        pod = pod[part]
    if value is None:
        del pod[last]
    else:
        pod[last] = value


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_pod_is_what_upstream_makes_of_the_same_input(
    case: dict[str, Any], upstream: dict[str, Any], tmp_path: Path
) -> None:
    expected = without_identity(upstream[case["name"]])
    for path, value in case.get("differs", {}).items():
        put(expected, path, value)
    ours = without_identity(our_pod(case, tmp_path))
    base = next(container for container in ours["spec"]["containers"] if container["name"] == "base")
    base["env"] = [variable for variable in base["env"] if variable["name"] != "CONNECTION_CHECK_MAX_COUNT"]
    assert ours == expected


def test_every_case_has_an_answer_of_upstream(upstream: dict[str, Any]) -> None:
    assert set(upstream) == {case["name"] for case in CASES}
