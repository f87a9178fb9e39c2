"""The part about Kubernetes on a real API: each thing that may be wrong with a cluster is brought about."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybrid_executor.kube.rights import AGENT_RIGHTS, ATTACH_RIGHTS, Right
from tests.faulty_sandbox import FaultySandbox
from tests.integration.conftest import set_options
from tests.integration.doctor.conftest import Examine, Report
from tests.integration.rabbitmq import free_port
from tests.unit.test_conf_in_sync import ROOT

TEMPLATE = """
apiVersion: v1
kind: Pod
spec:
  containers:
  - name: base
    image: apache/airflow:{tag}
    {more}
    env:
    - name: AIRFLOW__CORE__EXECUTION_API_SERVER_URL
      value: {url}
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[FaultySandbox]:
    with FaultySandbox(runs_pods=False, namespaces=("default", "gpu")) as server:
        yield server


@pytest.fixture
def ask(examine: Examine, sandbox: FaultySandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Examine]:
    """Return a function that examines a cluster, with a pod template that is well."""
    sandbox.write_kubeconfig(tmp_path / "kubeconfig")
    template = tmp_path / "template.yaml"
    write_template(template)
    set_options(
        monkeypatch,
        hybrid_executor__routes="kubernetes=kubernetes, *=celery",
        kubernetes_executor__in_cluster="False",
        kubernetes_executor__config_file=str(tmp_path / "kubeconfig"),
        kubernetes_executor__pod_template_file=str(template),
    )

    def run(**options: str) -> Report:
        return examine("kubernetes", **options)

    yield run
    sandbox.faults.clear()


def write_template(path: Path, *, tag: str = "", url: str = "http://api:8080/execution/", more: str = "") -> None:
    from hybrid_executor import compat

    path.write_text(TEMPLATE.format(tag=tag or compat.airflow_version(), url=url, more=more))


def put(sandbox: FaultySandbox, path: str, body: dict[str, Any]) -> None:
    from hybrid_executor.config.kubernetes import KubernetesSettings
    from hybrid_executor.kube.client import connect

    config = sandbox.directory / "kubeconfig"
    sandbox.write_kubeconfig(config)
    client = connect(KubernetesSettings(in_cluster=False, config_file=str(config)))
    client.ask("POST", path, doing="put an object", body=body)
    client.close()


def test_a_cluster_that_is_well_has_no_failure(ask: Examine) -> None:
    report = ask()
    assert (report.code, report.bad) == (0, [])
    assert report.one("rights")[1] == "all that agents use in namespace default (reviewed one by one)"
    assert "v1.36.0" in report.one("version")[1]
    assert "the server accepts it in namespace default (strict dry run)" in report.one("pod")[1]


def test_the_rights_are_those_of_the_manifest() -> None:
    from tests.unit.test_manifests import OBJECTS

    rules = [rule for item in OBJECTS if item["kind"] == "Role" for rule in item["rules"]]
    granted = {Right(verb, resource) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    assert set(AGENT_RIGHTS) == granted
    assert (ROOT / "workers" / "manifests" / "rbac.yaml").exists()


@pytest.mark.parametrize("is_review_denied", [False, True])
@pytest.mark.parametrize("right", AGENT_RIGHTS, ids=str)
def test_each_denied_verb_is_named_and_no_other(
    ask: Examine, sandbox: FaultySandbox, right: Right, is_review_denied: bool
) -> None:
    sandbox.faults.deny(right.verb, right.resource)
    if is_review_denied:
        sandbox.faults.deny("create", "selfsubjectaccessreviews")
    report = ask()
    how = "each was tried, since this account may not ask for a review" if is_review_denied else "reviewed one by one"
    level, what, cure = report.one("rights")
    assert (report.code, level) == (1, "failure")
    assert what == f"in namespace default this account may not: {right} ({how})"
    assert cure == (
        "grant them in a Role that is bound to the agent's account; workers/manifests/rbac.yaml has all of them"
    )


def test_the_rights_of_warm_pods_are_those_of_their_manifest() -> None:
    text = (ROOT / "workers" / "manifests" / "warm-pods" / "rbac.yaml").read_text()
    role, binding = yaml.safe_load_all(text)
    [rule] = role["rules"]
    assert {Right(verb, resource) for resource in rule["resources"] for verb in rule["verbs"]} == set(ATTACH_RIGHTS)
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


@pytest.mark.parametrize("is_review_denied", [False, True])
def test_the_right_to_attach_is_asked_for_where_a_profile_has_warm_pods(
    ask: Examine, sandbox: FaultySandbox, tmp_path: Path, is_review_denied: bool
) -> None:
    (tmp_path / "profiles.yaml").write_text("quick: {warm: {}}")
    warm = {
        "hybrid_executor__profiles_file": str(tmp_path / "profiles.yaml"),
        "hybrid_executor__routes": "kubernetes=kubernetes:quick, *=celery",
    }
    sandbox.faults.deny("create", "pods/attach")
    if is_review_denied:
        sandbox.faults.deny("create", "selfsubjectaccessreviews")
    assert ask().one("rights")[0] == "ok"
    level, what, cure = ask(**warm).one("rights")
    assert level == "failure"
    assert "create pods/attach" in what
    assert "workers/manifests/warm-pods/rbac.yaml has them. Until then tasks start without warm pods" in cure


@pytest.mark.parametrize("is_review_denied", [False, True])
def test_the_right_to_attach_is_asked_for_where_pods_get_their_token_by_standard_input(
    ask: Examine, sandbox: FaultySandbox, is_review_denied: bool
) -> None:
    sandbox.faults.deny("create", "pods/attach")
    if is_review_denied:
        sandbox.faults.deny("create", "selfsubjectaccessreviews")
    level, what, cure = ask(hybrid_executor__pod_token="stdin").one("rights")
    assert level == "failure"
    assert "create pods/attach" in what
    assert "workers/manifests/warm-pods/rbac.yaml has them. Until then no task starts in a pod" in cure


def test_trying_the_rights_leaves_nothing_behind(ask: Examine, sandbox: FaultySandbox) -> None:
    sandbox.faults.deny("create", "selfsubjectaccessreviews")
    assert ask().one("rights")[0] == "ok"
    from hybrid_executor.sandbox.objects import PODS

    assert sandbox.cluster.select(PODS, "default") == []


def test_a_quota_that_is_used_up_is_a_failure_and_one_that_may_not_be_read_unknown(
    ask: Examine, sandbox: FaultySandbox
) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/pods": "0"}}}
    put(sandbox, "/api/v1/namespaces/gpu/resourcequotas", quota)
    report = ask(kubernetes_executor__namespace="gpu")
    level, what, cure = report.one("quota")
    assert (report.code, level) == (1, "failure")
    assert what.startswith("few in namespace gpu: count/pods 0 of 0. No count/pods left")
    assert cure.startswith("raise the quota")
    assert "The pod asks for more count/pods than quota few allows" in report.one("pod")[1]
    sandbox.faults.deny("list", "resourcequotas")
    hidden = ask(kubernetes_executor__namespace="gpu")
    assert hidden.one("quota")[0] == "unknown"
    assert "may not read the quotas of namespace gpu" in hidden.one("quota")[1]


@pytest.mark.parametrize(
    ("change", "check", "level", "words"),
    [
        ({"more": "imagePulPolicy: Always"}, "pod", "failure", "imagePulPolicy"),
        ({"more": "imagePullPolicy: Never"}, "image", "warning", "imagePullPolicy Never"),
        ({"tag": "latest"}, "image", "warning", "the tag latest"),
        ({"tag": "2.10.5"}, "image", "warning", "is Airflow 2.10.5 by its tag"),
    ],
)
def test_a_template_that_is_wrong_is_told(
    ask: Examine, tmp_path: Path, change: dict[str, str], check: str, level: str, words: str
) -> None:
    write_template(tmp_path / "template.yaml", **change)
    report = ask()
    found = report.one(check)
    assert (found[0], words in found[1], bool(found[2])) == (level, True, True), found
    assert report.code == (1 if level == "failure" else 0)


def test_a_template_that_is_missing_is_a_failure_of_the_pod_alone(ask: Examine, tmp_path: Path) -> None:
    report = ask(kubernetes_executor__pod_template_file=str(tmp_path / "nothing.yaml"))
    level, what, cure = report.one("pod template")
    assert (report.code, level) == (1, "failure")
    assert "nothing.yaml cannot be read" in what
    assert "airflow hybrid pod-yaml" in cure
    assert report.one("rights")[0] == "ok"


def test_localhost_in_a_pod_is_a_failure_where_pods_are_not_processes_of_this_machine(
    ask: Examine, tmp_path: Path, sandbox: FaultySandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hybrid_executor.sandbox import discovery

    monkeypatch.setitem(discovery.VERSION, "gitVersion", "v1.36.0")
    write_template(tmp_path / "template.yaml", url="http://localhost:8080/execution/")
    report = ask()
    level, what, cure = report.one("execution API")
    assert (report.code, level) == (1, "failure")
    assert "is the pod itself, so no task can start" in what
    assert cure.startswith("write the variable AIRFLOW__CORE__EXECUTION_API_SERVER_URL into the pod template")


def test_an_expired_token_is_told_before_the_server_refuses_it(ask: Examine, tmp_path: Path) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"iat": 1_000_000, "exp": 2_000_000}).encode()).decode().rstrip("=")
    config = json.loads((tmp_path / "kubeconfig").read_text())
    config["users"][0]["user"]["token"] = f"e30.{claims}.c2lnbmF0dXJl"
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    report = ask()
    level, what, cure = report.one("credentials")
    assert (report.code, level) == (1, "failure")
    assert what.startswith("the token has expired")
    assert cure.startswith("renew the token in the kubeconfig")
    assert "HTTP 401" in report.one("rights")[1]
    assert claims not in str(report.printed)


def test_a_dead_port_is_waited_for_once(ask: Examine, tmp_path: Path) -> None:
    config = json.loads((tmp_path / "kubeconfig").read_text())
    config["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    report = ask()
    level, what, cure = report.one("reachable")
    assert (report.code, level) == (1, "failure")
    assert "no answer from the Kubernetes API" in what
    assert cure.startswith("start the cluster, open the way to it")
    assert "rights" in report.one("not checked")[1]


def test_a_server_that_answers_late_ends_in_time(ask: Examine, sandbox: FaultySandbox) -> None:
    sandbox.faults.slow(60.0, path="/version")
    report = ask()
    assert report.one("reachable")[0] == "failure"
    assert report.code == 1


def test_no_kubeconfig_is_told_with_the_option(ask: Examine, tmp_path: Path) -> None:
    report = ask(kubernetes_executor__config_file=str(tmp_path / "none"))
    level, what, cure = report.one("reachable")
    assert (report.code, level) == (1, "failure")
    assert "[kubernetes_executor] config_file" in what
    assert cure == "run this command where the scheduler runs, if that is another machine"


def test_one_dead_cluster_does_not_hide_another(ask: Examine, sandbox: FaultySandbox, tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.yaml"
    dead = tmp_path / "dead"
    config = sandbox.kubeconfig()
    config["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{free_port()}"
    dead.write_text(json.dumps(config))
    profiles.write_text(f"gpu: {{config_file: {dead}, namespace: gpu}}\n")
    report = ask(
        hybrid_executor__routes="kubernetes=kubernetes, gpu-*=kubernetes:gpu, *=celery",
        hybrid_executor__profiles_file=str(profiles),
    )
    assert report.one("reachable", "cluster default")[0] == "ok"
    assert report.one("reachable", "cluster gpu")[0] == "failure"
    assert report.one("pod", "cluster default")[0] == "ok"


def test_pods_of_upstreams_executor_are_warned_of(ask: Examine, sandbox: FaultySandbox) -> None:
    pod = {
        "metadata": {"name": "of-upstream", "labels": {"kubernetes_executor": "True"}},
        "spec": {"containers": [{"name": "base", "image": "any"}]},
    }
    put(sandbox, "/api/v1/namespaces/default/pods", pod)
    level, what, cure = ask().one("other executors")
    assert level == "warning"
    assert "namespace default has pods of upstream's KubernetesExecutor" in what
    assert cure.startswith("use another namespace")
