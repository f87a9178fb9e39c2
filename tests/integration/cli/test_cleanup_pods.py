"""``airflow hybrid cleanup-pods`` against a Kubernetes API."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.cli.cleanup_pods_command import cleanup_pods
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.kube.client import KubeClient, connect
from hybrid_executor.kube.names import LABEL_DONE, LABEL_INSTANCE, LABEL_REDIS
from hybrid_executor.store import Store
from tests.faulty_sandbox import Fault, FaultySandbox
from tests.integration.cli.exit_codes import exit_code_of
from tests.integration.conftest import set_options

OLD = "2020-01-01T00:00:00Z"
ENDED = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": OLD, "finishedAt": OLD}}
OURS = {LABEL_INSTANCE: "airflow"}
AIRFLOWS = {"dag_id": "d", "task_id": "t", "try_number": "1", "airflow_version": "3"}


class Place:
    """A cluster where nothing runs; pods are what the test says they are."""

    def __init__(self, server: FaultySandbox, client: KubeClient) -> None:
        self.server = server
        self.client = client

    def put(self, name: str, phase: str, labels: dict[str, str] | None = None, namespace: str = "default") -> None:
        container = {"name": "base", "image": "any"}
        spec = {"restartPolicy": "Never", "containers": [container]}
        metadata = {"name": name, "labels": OURS if labels is None else labels}
        self.client.create_pod(namespace, {"metadata": metadata, "spec": spec})
        state: dict[str, Any] = ENDED if phase in ("Succeeded", "Failed") else {"running": {}}
        told = {"name": "base", "image": "any", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        self.client.transport.call(
            "PATCH",
            f"/api/v1/namespaces/{namespace}/pods/{name}/status",
            doing="set status",
            body={"status": {"phase": phase, "containerStatuses": [] if phase == "Pending" else [told]}},
            content_type="application/merge-patch+json",
        )

    def names(self) -> list[str]:
        return sorted(pod["metadata"]["name"] for pod in self.client.list_pods(None, "").items)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with FaultySandbox(runs_pods=False, namespaces=("default", "team-a", "team-b")) as server:
        config = tmp_path / "kubeconfig"
        server.write_kubeconfig(config)
        set_options(monkeypatch, kubernetes_executor__in_cluster="False", kubernetes_executor__config_file=str(config))
        client = connect(KubernetesSettings(in_cluster=False, config_file=str(config)))
        yield Place(server, client)
        client.close()


@pytest.fixture
def clean(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs the command and returns what it printed; errors follow on their own lines."""

    def run(*, code: int = 0, **arguments: Any) -> str:
        given = {"namespace": None, "min_pending_minutes": 30, "min_completed_minutes": 1}
        flags = {"any_airflow": False, "dry_run": False, "verbose": False}
        assert exit_code_of(cleanup_pods, Namespace(**{**given, **flags, **arguments})) == code
        told = capsys.readouterr()
        return told.out + told.err

    return run


def test_ended_pods_of_this_instance_go_and_others_stay(place: Place, clean: Callable[..., str]) -> None:
    place.put("succeeded", "Succeeded")
    place.put("failed-and-kept", "Failed", {**OURS, LABEL_DONE: "True"})
    place.put("runs", "Running")
    place.put("waits", "Pending")
    place.put("another-instance", "Succeeded", {LABEL_INSTANCE: "other"})
    place.put("nobody-s", "Succeeded", {})
    told = clean()
    assert place.names() == ["another-instance", "nobody-s", "runs", "waits"]
    assert "2 of 4 pods deleted" in told
    assert "default/succeeded: succeeded, ended" in told


def test_a_dry_run_deletes_nothing_and_says_what_would_go(place: Place, clean: Callable[..., str]) -> None:
    place.put("succeeded", "Succeeded")
    told = clean(dry_run=True)
    assert place.names() == ["succeeded"]
    assert "delete   default/succeeded" in told
    assert "1 of 1 pods would be deleted" in told


def test_several_namespaces_are_looked_through(place: Place, clean: Callable[..., str]) -> None:
    for namespace in ("default", "team-a", "team-b"):
        place.put(f"in-{namespace}", "Succeeded", namespace=namespace)
    clean(namespace=["team-a,team-b"])
    assert place.names() == ["in-default"]
    clean()
    assert place.names() == []


def test_pods_of_any_airflow_executor_go_where_that_is_asked_for(place: Place, clean: Callable[..., str]) -> None:
    place.put("of-another-executor", "Succeeded", AIRFLOWS)
    clean()
    assert place.names() == ["of-another-executor"]
    clean(any_airflow=True)
    assert place.names() == []


def test_young_pending_pods_are_safe_whatever_is_asked_for(place: Place, clean: Callable[..., str]) -> None:
    place.put("waits", "Pending")
    told = clean(min_pending_minutes=0)
    assert place.names() == ["waits"]
    assert "--min-pending-minutes must be at least 5" in told


def test_many_pods_are_read_and_deleted_page_by_page(place: Place, clean: Callable[..., str]) -> None:
    listed = place.server.faults.add(Fault("slow", verb="list", path="/pods$", delay_seconds=0.0))
    for number in range(501):
        place.put(f"p{number}", "Succeeded")
    assert "501 of 501 pods deleted" in clean()
    assert place.names() == []
    assert place.server.faults.hits(listed) == 3


def test_a_missing_right_is_told_after_one_request_and_holds_up_no_other_namespace(
    place: Place, clean: Callable[..., str]
) -> None:
    for number in range(3):
        place.put(f"p{number}", "Succeeded")
    place.put("other", "Succeeded", namespace="team-a")
    denied = place.server.faults.fail(
        403, verb="delete", path="/default/", times=None, reason="Forbidden", message="cannot delete pods"
    )
    told = clean(code=1, namespace=["default", "team-a"])
    assert place.names() == ["p0", "p1", "p2"]
    assert place.server.faults.hits(denied) == 1
    assert "this account needs the rights to list and delete pods there" in told
    assert "cannot delete pods" in told


def test_pods_of_a_deployment_with_another_redis_are_left_alone(
    place: Place, clean: Callable[..., str], store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_options(monkeypatch, hybrid_executor__redis_url=redis_url)
    [ours] = store.identity.share([])
    place.put("ours", "Succeeded", {**OURS, LABEL_REDIS: ours})
    place.put("theirs", "Succeeded", {**OURS, LABEL_REDIS: "another"})
    place.put("of-an-older-version", "Succeeded")
    assert "1 pods belong to another deployment whose instance is also airflow; they are not touched." in clean()
    assert place.names() == ["theirs"]


def test_without_redis_all_pods_of_the_instance_count(
    place: Place, clean: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_options(monkeypatch, hybrid_executor__redis_url="redis://127.0.0.1:1/0")
    place.put("any", "Succeeded", {**OURS, LABEL_REDIS: "another"})
    assert "Redis is unavailable, so all pods with this instance name are cleaned up" in clean()
    assert place.names() == []
