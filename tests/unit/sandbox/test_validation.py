"""Which pods the API refuses, with which words."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.objects import QUOTAS
from hybrid_executor.sandbox.pods import Pods
from hybrid_executor.sandbox.status import StatusError


def manifest(**spec: Any) -> dict[str, Any]:
    spec.setdefault("containers", [{"name": "base", "image": "x"}])
    return {"metadata": {"name": "one"}, "spec": spec}


def refusal(body: dict[str, Any], *, is_strict: bool = False) -> StatusError:
    with pytest.raises(StatusError) as caught:
        Pods(Cluster()).create("default", body, is_strict=is_strict)
    return caught.value


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"containers": [{"name": "Base", "image": "x"}]}, "spec.containers[0].name", "RFC 1123 label"),
        ({"containers": [{"name": "a"}]}, "spec.containers[0].image", "Required value"),
        ({"containers": [{"name": "a", "image": " x"}]}, "spec.containers[0].image", "whitespace"),
        (
            {"containers": [{"name": "a", "image": "x"}, {"name": "a", "image": "x"}]},
            "spec.containers[1].name",
            'Duplicate value: "a"',
        ),
        (
            {"containers": [{"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
            "spec.containers[0].volumeMounts[0].name",
            'Not found: "v"',
        ),
        (
            {"containers": [{"name": "a", "image": "x", "env": [{"name": "A=B"}]}]},
            "spec.containers[0].env[0].name",
            "Invalid value",
        ),
        ({"restartPolicy": "Sometimes"}, "spec.restartPolicy", 'supported values: "Always", "Never", "OnFailure"'),
        ({"nodeSelector": {"a": "b c"}}, "spec.nodeSelector", "a valid label"),
        ({"activeDeadlineSeconds": -1}, "spec.activeDeadlineSeconds", "greater than or equal to 0"),
        (
            {
                "containers": [
                    {
                        "name": "a",
                        "image": "x",
                        "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}},
                    }
                ]
            },
            "spec.containers[0].resources.requests",
            "must be less than or equal to cpu limit of 1500m",
        ),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(spec: dict[str, Any], field: str, message: str) -> None:
    error = refusal(manifest(**spec))
    assert error.code == 422
    assert [cause["field"] for cause in error.details["causes"]] == [field]
    assert message in error.message


def test_everything_that_is_wrong_is_named_at_once() -> None:
    body = {"metadata": {"labels": {"-bad": "x" * 64}}, "spec": {}}
    fields = [cause["field"] for cause in refusal(body).details["causes"]]
    assert fields == ["metadata.name", "metadata.labels", "metadata.labels", "spec.containers"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"spec": {"containers": "no"}}, "string into Go struct field PodSpec.spec.containers of type []v1.Container"),
        (
            {"spec": {"containers": [{"image": 3}]}},
            "number into Go struct field Container.spec.containers.image of type string",
        ),
        ({"metadata": {"labels": {"a": 1}}}, "number into Go struct field ObjectMeta.metadata.labels of type string"),
        ({"spec": []}, "array into Go struct field Pod.spec of type v1.PodSpec"),
    ],
)
def test_a_value_of_the_wrong_type_is_a_bad_request(body: dict[str, Any], text: str) -> None:
    error = refusal(body)
    assert error.code == 400
    assert text in error.message


def test_unknown_fields_are_dropped_and_named_unless_they_are_refused() -> None:
    body = manifest(containers=[{"name": "base", "image": "x", "imagee": "y"}], nosuch=1)
    pod, unknown = Pods(Cluster()).create("default", body)
    assert unknown == ["spec.nosuch", "spec.containers[0].imagee"]
    assert "nosuch" not in pod["spec"]
    assert "imagee" not in pod["spec"]["containers"][0]
    assert refusal(body, is_strict=True).code == 400


def test_annotations_are_limited_in_size() -> None:
    body = {**manifest(), "metadata": {"name": "one", "annotations": {"a": "x" * 300_000}}}
    assert "may not be more than 262144 bytes" in refusal(body).message


def test_a_quota_counts_pods_that_have_not_ended() -> None:
    cluster = Cluster()
    pods = Pods(cluster)
    cluster.create(
        QUOTAS, {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": {"pods": "1"}}, "status": {}}
    )
    first, _ = pods.create("default", manifest())
    second = {**manifest(), "metadata": {"name": "two"}}
    with pytest.raises(StatusError, match=r"exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"):
        pods.create("default", second)
    pods.set_status("default", "one", {**first["status"], "phase": "Succeeded"})
    assert pods.create("default", second)[0]["metadata"]["name"] == "two"


def test_a_dry_run_checks_and_stores_nothing() -> None:
    cluster = Cluster()
    pods = Pods(cluster)
    pods.create("default", manifest(), is_dry_run=True)
    assert cluster.version == Cluster().version
    with pytest.raises(StatusError):
        pods.create("default", {"metadata": {"name": "one"}, "spec": {}}, is_dry_run=True)
