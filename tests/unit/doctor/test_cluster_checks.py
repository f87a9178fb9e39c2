"""What the facts of a cluster, and of the pods of its routes, mean."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

import hybrid_executor.doctor.cluster_checks as judge
from hybrid_executor.doctor.pod_checks import PodFacts, judge_api_address, judge_image
from hybrid_executor.kube.examination import Credential, Quota, ServerFacts

NOW = 1_700_000_000.0
DAY = 86400.0


def server(**fields: Any) -> ServerFacts:
    usual: dict[str, Any] = {"host": "https://k8s", "version": "v1.33.1", "major": 1, "minor": 33, "seconds": 0.01}
    return ServerFacts(**{**usual, **fields})


@pytest.mark.parametrize(("seconds", "level"), [(1.0, "ok"), (1.1, "warning")])
def test_a_slow_server_is_warned_of(seconds: float, level: str) -> None:
    assert judge.judge_server(server(seconds=seconds)).level == level


@pytest.mark.parametrize(
    ("host", "verifies", "level"),
    [
        ("https://k8s", True, "ok"),
        ("https://k8s", False, "warning"),
        ("http://127.0.0.1:80", True, "ok"),
        ("http://k8s", True, "failure"),
    ],
)
def test_tokens_need_tls(host: str, verifies: bool, level: str) -> None:
    assert judge.judge_tls(host, verifies=verifies).level == level


@pytest.mark.parametrize(
    ("major", "minor", "level"), [(1, 27, "ok"), (1, 26, "warning"), (2, 0, "ok"), (0, 0, "unknown")]
)
def test_an_old_server_is_warned_of(major: int, minor: int, level: str) -> None:
    assert judge.judge_version(server(major=major, minor=minor)).level == level


@pytest.mark.parametrize(("ahead", "level"), [(-5, "ok"), (6, "warning")])
def test_clocks_are_compared(ahead: float, level: str) -> None:
    assert judge.judge_clock(server(clock_ahead_seconds=ahead)).level == level


@pytest.mark.parametrize(
    ("credential", "level", "words"),
    [
        (Credential(kind="token"), "ok", "a token, which does not say when it expires"),
        (
            Credential(kind="token", issued_at=NOW - 5 * DAY, expires_at=NOW + 5 * DAY),
            "ok",
            "a token, 5 days old, which expires in 5 days",
        ),
        (Credential(kind="token", expires_at=NOW + 3600), "warning", "is not renewed: then no pod is created"),
        (Credential(kind="token", expires_at=NOW + 3600, is_renewed=True), "ok", "is renewed before"),
        (
            Credential(kind="client certificate", expires_at=NOW - 3 * DAY),
            "failure",
            "the client certificate has expired 3 days ago",
        ),
        (Credential(kind="none"), "warning", "anonymous"),
    ],
)
def test_credentials_say_their_age_and_their_end(credential: Credential, level: str, words: str) -> None:
    found = judge.judge_credential(credential, now=NOW)
    assert (found.level, words in found.what) == (level, True), found.what
    assert bool(found.cure) is (level != "ok")


def test_missing_verbs_are_named_with_the_kind_of_role_that_grants_them() -> None:
    found = judge.judge_rights(["patch pods", "list events"], "airflow", was_tried=False)
    assert (found.level, found.what) == (
        "failure",
        "in namespace airflow this account may not: patch pods, list events (reviewed one by one)",
    )
    assert "grant them in a Role" in found.cure
    everywhere = judge.judge_rights(["patch pods"], None, was_tried=True)
    assert "in all namespaces" in everywhere.what
    assert "grant them in a ClusterRole" in everywhere.cure
    assert judge.judge_rights([], "airflow", was_tried=True).level == "ok"


@pytest.mark.parametrize(
    ("used", "hard", "level"),
    [("5", "10", "ok"), ("9", "10", "warning"), ("10", "10", "failure"), ("0", "0", "failure"), (None, "10", "ok")],
)
def test_a_quota_says_what_is_left(used: str | None, hard: str, level: str) -> None:
    used_up = {} if used is None else {"pods": Decimal(used)}
    [found] = judge.judge_quotas([Quota(name="q", hard={"pods": Decimal(hard)}, used=used_up)], "airflow")
    assert (found.level, f"q in namespace airflow: pods {used or '?'} of {hard}" in found.what) == (level, True)


def test_no_quota_and_no_right_to_read_it_are_different() -> None:
    assert judge.judge_quotas([], "airflow")[0].level == "ok"
    assert judge.quota_unknown("airflow").level == "unknown"


def test_pods_of_upstream_are_warned_of() -> None:
    assert judge.judge_upstream(True, "airflow").level == "warning"
    assert judge.judge_upstream(False, None).level == "ok"


def pod(image: str = "apache/airflow:3.3.2", **container: Any) -> PodFacts:
    base = {"name": "base", "image": image, **container}
    return PodFacts(route="k=kubernetes", pod={"spec": {"containers": [{"name": "sidecar"}, base]}})


@pytest.mark.parametrize(
    ("image", "policy", "level", "words"),
    [
        ("apache/airflow:3.3.2", "", "ok", "the same version"),
        ("apache/airflow:3.3.2-python3.12", "IfNotPresent", "ok", "the same version"),
        ("apache/airflow:slim-3.2.1", "", "warning", "is Airflow 3.2.1 by its tag, and this process is 3.3.2"),
        ("apache/airflow", "", "warning", "no tag, which means latest"),
        ("registry:5000/airflow", "", "warning", "no tag, which means latest"),
        ("apache/airflow:latest", "", "warning", "the tag latest"),
        ("apache/airflow:latest@sha256:0", "", "ok", "shows only when it runs"),
        ("apache/airflow:3.3.2", "Never", "warning", "imagePullPolicy Never"),
        ("ourcompany/etl:1.2.3", "", "ok", "shows only when it runs"),
        ("airflow-hybrid-executor:0.1.0", "", "ok", "shows only when it runs"),
    ],
)
def test_an_image_is_judged_by_its_name(image: str, policy: str, level: str, words: str) -> None:
    found = judge_image(pod(image, **({"imagePullPolicy": policy} if policy else {})), "3.3.2")
    assert (found.level, words in found.what) == (level, True), found.what


VARIABLE = "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"


@pytest.mark.parametrize(
    ("container", "level", "words"),
    [
        ({"env": [{"name": VARIABLE, "value": "http://api:8080/execution/"}]}, "ok", "http://api:8080/execution/"),
        ({"env": [{"name": VARIABLE, "value": "http://localhost:8080/execution/"}]}, "failure", "is the pod itself"),
        ({"env": [{"name": VARIABLE, "value": "http://127.0.0.1/execution/"}]}, "failure", "is the pod itself"),
        ({}, "warning", "the pod does not name its address"),
        ({"env": [{"name": VARIABLE, "valueFrom": {"configMapKeyRef": {}}}]}, "unknown", "valueFrom"),
        ({"envFrom": [{"configMapRef": {"name": "env"}}]}, "unknown", "configMap env"),
        ({"volumeMounts": [{"mountPath": "/opt/airflow/airflow.cfg"}]}, "unknown", "/opt/airflow/airflow.cfg"),
    ],
)
def test_a_pod_must_know_where_airflow_is(container: dict[str, Any], level: str, words: str) -> None:
    found = judge_api_address(pod(**container))
    assert (found.level, words in found.what) == (level, True), found.what
    assert bool(found.cure) is (level != "ok")


def test_pods_of_the_sandbox_have_the_environment_of_this_machine() -> None:
    facts = PodFacts(route="r", pod={"spec": {"containers": [{}]}}, server_version="v1.36.0+hybrid-sandbox")
    assert judge_api_address(facts).level == "ok"
