"""The manifests, as a Kubernetes API checks them: a strict dry run, which creates nothing.

On a cluster of ``KUBECONFIG``, all objects; kinds of KEDA only where KEDA is installed. On the sandbox, which has pods
only, the pods of the Deployments.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybrid_executor.errors import KubeError
from tests.contract.kube_cluster import Cluster, real, refusal, sandbox

pytestmark = pytest.mark.kube

FOLDER = Path(__file__).parents[2] / "workers" / "manifests"
OBJECTS: list[dict[str, Any]] = [
    document
    for path in sorted([*FOLDER.glob("*.yaml"), *FOLDER.glob("keda/*.yaml")])
    for document in yaml.safe_load_all(path.read_text())
    if document["kind"] != "Namespace"
]
PODS = [item for item in OBJECTS if item["kind"] == "Deployment"]
PLURALS = {"TriggerAuthentication": "triggerauthentications"}


def name_of(item: dict[str, Any]) -> str:
    return f"{item['kind']}-{item['metadata']['name']}"


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with sandbox(tmp_path_factory.mktemp("sandbox"), runs_pods=False) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with real(needs_kubelet=False) as found:
        yield found


def dry_run(cluster: Cluster, item: dict[str, Any]) -> None:
    """Let the API check an object strictly, in a namespace of ours.

    :raises KubeError: it refuses the object.
    """
    moved = copy.deepcopy(item)
    moved["metadata"]["namespace"] = cluster.namespace
    root = "/api/v1" if item["apiVersion"] == "v1" else f"/apis/{item['apiVersion']}"
    plural = PLURALS.get(item["kind"], item["kind"].lower() + "s")
    cluster.transport.call(
        "POST",
        f"{root}/namespaces/{cluster.namespace}/{plural}",
        doing=f"check {name_of(item)}",
        query={"dryRun": "All", "fieldValidation": "Strict"},
        body=moved,
    )


@pytest.mark.parametrize("item", OBJECTS, ids=name_of)
def test_a_cluster_accepts_every_object(cluster: Cluster, item: dict[str, Any]) -> None:
    try:
        dry_run(cluster, item)
    except KubeError as error:
        if error.status == 404 and item["apiVersion"].startswith("keda.sh/"):
            pytest.skip("KEDA is not installed in the cluster of KUBECONFIG")
        raise


def pod_of(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return the pod of a Deployment; its account exists only where rbac.yaml was applied."""
    template = copy.deepcopy(deployment["spec"]["template"])
    template["spec"].pop("serviceAccountName", None)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", **template["metadata"]},
        "spec": template["spec"],
    }


@pytest.mark.parametrize("item", PODS, ids=name_of)
def test_the_sandbox_accepts_every_pod(stand_in: Cluster, item: dict[str, Any]) -> None:
    dry_run(stand_in, pod_of(item))


def test_a_misspelt_field_is_refused(stand_in: Cluster) -> None:
    pod = pod_of(PODS[0])
    pod["spec"]["containers"][0]["imagee"] = "x"
    assert "imagee" in str(refusal(lambda: dry_run(stand_in, pod)))
