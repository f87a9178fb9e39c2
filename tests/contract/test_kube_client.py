"""The client against Kubernetes APIs: the sandbox, and a real cluster where ``KUBECONFIG`` names one."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from urllib3 import PoolManager

from hybrid_executor.errors import KubeError, KubeGone
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.diagnosis import diagnose
from hybrid_executor.kube.names import LABEL_DONE, done_patch, ending_patch, instance_selector
from hybrid_executor.kube.refusal import judge_create_error
from hybrid_executor.kube.transport import Transport
from hybrid_executor.kube.watch import WatchHandle, watch_once
from tests.waiting import PATIENCE_SECONDS

from .kube_cluster import Cluster, namespace_in, pod, real, refusal, sandbox, until

# A kubeconfig may say insecure-skip-tls-verify.
pytestmark = [pytest.mark.kube, pytest.mark.filterwarnings("ignore:Unverified HTTPS request")]

SELECTOR = "suite=hybrid"


@pytest.fixture(scope="module", params=["sandbox", "cluster"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    is_sandbox = request.param == "sandbox"
    tmp = tmp_path_factory.mktemp("sandbox")
    with sandbox(tmp, runs_pods=False) if is_sandbox else real(needs_kubelet=False) as found:
        yield found


@pytest.fixture(scope="module", params=["sandbox", "cluster"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose pods run."""
    is_sandbox = request.param == "sandbox"
    tmp = tmp_path_factory.mktemp("node")
    with sandbox(tmp, runs_pods=True) if is_sandbox else real(needs_kubelet=True) as found:
        yield found


def names(items: list[dict[str, Any]]) -> list[str]:
    return sorted(item["metadata"]["name"] for item in items)


def test_a_pod_is_created_and_read(cluster: Cluster) -> None:
    created = cluster.create("made")
    assert created["metadata"]["uid"]
    assert cluster.client.get_pod(cluster.namespace, "made")["metadata"]["uid"] == created["metadata"]["uid"]


def test_a_second_pod_of_the_same_name_is_a_conflict_that_means_done(cluster: Cluster) -> None:
    cluster.create("twice")
    with pytest.raises(KubeError) as caught:
        cluster.create("twice")
    assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")
    assert judge_create_error(caught.value).action == "exists"


def test_a_refused_pod_carries_the_servers_words(cluster: Cluster) -> None:
    with pytest.raises(KubeError) as caught:
        cluster.create("Bad_Name")
    assert (caught.value.status, caught.value.reason) == (422, "Invalid")
    assert "Bad_Name" in str(caught.value)
    assert judge_create_error(caught.value).action == "reject"


def test_a_namespace_that_does_not_exist_is_rejected_for_creation_and_empty_for_lists(cluster: Cluster) -> None:
    with pytest.raises(KubeError) as caught:
        cluster.client.create_pod("no-such-namespace", pod("a"))
    assert caught.value.status == 404
    assert "namespace does not exist" in judge_create_error(caught.value).reason
    assert cluster.client.list_pods("no-such-namespace", "").items == []


def test_a_pod_that_does_not_exist_is_a_404(cluster: Cluster) -> None:
    with pytest.raises(KubeError) as caught:
        cluster.client.get_pod(cluster.namespace, "nope")
    assert (caught.value.status, caught.value.reason) == (404, "NotFound")


def test_deletion_can_be_repeated_and_says_whether_there_was_a_pod(cluster: Cluster) -> None:
    cluster.create("short")
    assert cluster.client.delete_pod(cluster.namespace, "short", grace_period_seconds=0)
    assert not cluster.client.delete_pod(cluster.namespace, "short", grace_period_seconds=0)


def test_deletion_by_uid_spares_another_pod_of_the_same_name(cluster: Cluster) -> None:
    uid = cluster.create("spared")["metadata"]["uid"]
    assert not cluster.client.delete_pod(cluster.namespace, "spared", uid=str(uuid.uuid4()))
    assert cluster.client.get_pod(cluster.namespace, "spared")["metadata"]["uid"] == uid
    assert cluster.client.delete_pod(cluster.namespace, "spared", uid=uid)


def test_a_merge_patch_sets_and_removes_labels(cluster: Cluster) -> None:
    cluster.create("patched", a="1")
    patched = cluster.client.patch_pod(cluster.namespace, "patched", {"metadata": {"labels": {"a": None, "b": "2"}}})
    assert patched["metadata"]["labels"] == {"suite": "hybrid", "b": "2"}


def test_a_list_is_whole_however_small_its_pages(cluster: Cluster) -> None:
    wanted = [f"page-{number}" for number in range(5)]
    for name in wanted:
        cluster.create(name, pages=cluster.namespace)
    selector = f"pages={cluster.namespace}"
    listed = cluster.client.list_pods(cluster.namespace, selector, page_size=2)
    assert names(listed.items) == wanted
    assert int(listed.resource_version) > 0
    assert names(cluster.client.list_pods(None, selector).items) == wanted
    assert cluster.client.list_pods(cluster.namespace, "group=none").items == []


def test_a_watch_from_the_lists_version_misses_nothing(cluster: Cluster) -> None:
    selector = f"{SELECTOR},group=watched"
    version = cluster.client.list_pods(cluster.namespace, selector).resource_version
    cluster.create("w", group="watched")
    cluster.client.patch_pod(cluster.namespace, "w", {"metadata": {"labels": {"x": "1"}}})
    cluster.client.delete_pod(cluster.namespace, "w", grace_period_seconds=0)
    seen = []
    for event in watch_once(cluster.client, cluster.namespace, selector, version, timeout_seconds=20):
        if event["type"] != "BOOKMARK":
            seen.append(event)
        if event["type"] == "DELETED":
            break
    assert [event["type"] for event in seen][:2] == ["ADDED", "MODIFIED"]
    final = diagnose(seen[-1]["object"], event_type="DELETED", fatal_pending_reasons=())
    assert (final.phase, str(final.category)) == ("failed", "deleted_before_start")


def test_a_pod_marked_done_leaves_the_watch_as_gone(cluster: Cluster) -> None:
    selector = instance_selector("contract")
    version = cluster.client.list_pods(cluster.namespace, selector).resource_version
    manifest = pod("kept")
    manifest["metadata"]["labels"]["hybrid-executor/instance"] = "contract"
    cluster.client.create_pod(cluster.namespace, manifest)
    cluster.client.patch_pod(cluster.namespace, "kept", done_patch())
    for event in watch_once(cluster.client, cluster.namespace, selector, version, timeout_seconds=20):
        if event["type"] == "DELETED":
            break
    assert diagnose(event["object"], event_type="DELETED", fatal_pending_reasons=()).phase == "gone"
    assert cluster.client.list_pods(cluster.namespace, selector).items == []
    assert names(cluster.client.list_pods(cluster.namespace, instance_selector("contract", with_done=True)).items) == [
        "kept"
    ]


def test_a_pod_that_is_kept_is_marked_and_gets_a_deadline_that_is_over(cluster: Cluster) -> None:
    cluster.create("ends")
    cluster.client.patch_pod(cluster.namespace, "ends", ending_patch())
    found = cluster.client.get_pod(cluster.namespace, "ends")
    assert found["spec"]["activeDeadlineSeconds"] == 1
    assert LABEL_DONE in found["metadata"]["labels"]


def test_a_watch_ends_cleanly_when_the_server_ends_it(cluster: Cluster) -> None:
    version = cluster.client.list_pods(cluster.namespace, "group=none").resource_version
    events = list(watch_once(cluster.client, cluster.namespace, "group=none", version, timeout_seconds=1))
    assert all(event["type"] == "BOOKMARK" for event in events)


def test_a_version_that_is_too_old_is_gone_when_iterated(cluster: Cluster) -> None:
    events = watch_once(cluster.client, cluster.namespace, SELECTOR, "1", timeout_seconds=2)
    if not cluster.history_limit and not is_too_old(cluster, "1"):
        pytest.skip("this API server is so young that its history still begins with version 1")
    cluster.create("old")
    for number in range(cluster.history_limit):
        cluster.client.patch_pod(cluster.namespace, "old", {"metadata": {"labels": {"n": str(number)}}})
    with pytest.raises(KubeGone):
        list(events)


def is_too_old(cluster: Cluster, version: str) -> bool:
    """Return whether the server has given up its history from a version on; it keeps it by time, not by changes."""
    path = f"/api/v1/namespaces/{cluster.namespace}/pods"
    query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "1"}
    stream = cluster.transport.stream(path, doing="watch", query=query, silence_seconds=20)
    return any(b'"code":410' in line.replace(b" ", b"") for line in stream.lines())


def test_a_waiting_watch_is_ended_from_another_thread(cluster: Cluster) -> None:
    version = cluster.client.list_pods(cluster.namespace, "group=none").resource_version
    handle = WatchHandle()
    began = threading.Event()

    def read() -> None:
        began.set()
        list(watch_once(cluster.client, cluster.namespace, "group=none", version, handle=handle))

    reader = threading.Thread(target=read)
    reader.start()
    began.wait()
    handle.stop()
    reader.join(timeout=PATIENCE_SECONDS)
    assert not reader.is_alive()


def test_wrong_credentials_are_an_error_and_never_an_empty_list(cluster: Cluster) -> None:
    known = cluster.transport.pool.connection_pool_kw
    # A client certificate would authenticate it, whatever its token says.
    pool = PoolManager(**{name: value for name, value in known.items() if name not in ("cert_file", "key_file")})
    stranger = KubeClient(Transport(pool, cluster.client.host, credentials=lambda: {"authorization": "Bearer wrong"}))
    with pytest.raises(KubeError) as caught:
        stranger.list_pods(cluster.namespace, "")
    assert (caught.value.status, caught.value.reason) == (401, "Unauthorized")
    assert judge_create_error(caught.value).action == "retry"


def test_the_log_of_a_pod_that_has_not_started_is_empty_and_of_no_pod_an_error(cluster: Cluster) -> None:
    cluster.create("quiet")
    assert cluster.client.read_pod_log(cluster.namespace, "quiet", container="base", tail_lines=10) == ""
    with pytest.raises(KubeError) as caught:
        cluster.client.read_pod_log(cluster.namespace, "nope", container="base", tail_lines=10)
    assert caught.value.status == 404


def test_a_pod_over_quota_waits_with_those_that_ask_for_as_much(cluster: Cluster) -> None:
    with namespace_in(cluster.settings) as own:
        own.limit(pods="1")
        cluster.client.create_pod(own.namespace, pod("fits"))
        error = refusal(lambda: cluster.client.create_pod(own.namespace, pod("over")))
        assert "exceeded quota" in str(error)
        verdict = judge_create_error(error)
        assert (verdict.action, verdict.concerns, verdict.exceeded) == ("retry", "demand", {"pods": 1})


def test_many_threads_create_at_the_same_time(cluster: Cluster) -> None:
    wanted = [f"many-{number:02}" for number in range(40)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda name: cluster.create(name, group="many"), wanted))
    assert names(cluster.client.list_pods(cluster.namespace, "group=many").items) == wanted


def test_the_end_of_a_real_process_is_diagnosed_with_its_log(node: Cluster) -> None:
    node.run("fails", "sh", "-c", "echo one; echo two; exit 3", group="real")
    listed = node.client.list_pods(node.namespace, "group=real")
    (final,) = [diagnose(raw, event_type="ADDED", fatal_pending_reasons=()) for raw in listed.items]
    if not final.is_final:
        for event in watch_once(node.client, node.namespace, "group=real", listed.resource_version, timeout_seconds=30):
            if event["type"] != "BOOKMARK":
                final = diagnose(event["object"], event_type="MODIFIED", fatal_pending_reasons=())
            if final.is_final:
                break
    assert (final.phase, str(final.category), final.exit_code) == ("failed", "exit_nonzero", 3)
    assert final.node
    assert node.client.read_pod_log(node.namespace, "fails", container="base", tail_lines=1) == "two\n"
    log = node.client.read_pod_log(node.namespace, "fails", container="base", tail_lines=None, follow=True)
    assert list(log) == ["one", "two"]


def test_an_image_that_cannot_be_pulled_fails_the_pod_and_is_told_in_the_clusters_events(node: Cluster) -> None:
    manifest = pod("pulls", ["true"])
    manifest["spec"]["containers"][0]["image"] = "missing.invalid/airflow:1"
    node.client.create_pod(node.namespace, manifest)

    def seen() -> str:
        raw = node.client.get_pod(node.namespace, "pulls")
        return str(
            diagnose(raw, event_type="ADDED", fatal_pending_reasons=node.settings.fatal_pending_reasons).category
        )

    until(lambda: seen() == "image_pull")
    until(lambda: bool(node.client.list_pod_events(node.namespace, "pulls")))
    reasons = {event["reason"] for event in node.client.list_pod_events(node.namespace, "pulls")}
    assert "Failed" in reasons
    assert node.client.list_pod_events(node.namespace, "other") == []


def test_a_running_pod_that_is_deleted_fails_as_deleted(node: Cluster) -> None:
    node.run("sleeps", "sleep", "600")
    until(lambda: node.client.get_pod(node.namespace, "sleeps")["status"]["phase"] == "Running")
    version = node.client.list_pods(node.namespace, "").resource_version
    node.client.delete_pod(node.namespace, "sleeps")
    for event in watch_once(node.client, node.namespace, "", version, timeout_seconds=30):
        if event["type"] == "DELETED":
            break
    final = diagnose(event["object"], event_type="DELETED", fatal_pending_reasons=())
    assert (final.phase, str(final.category), final.task_may_have_started) == ("failed", "deleted", True)
