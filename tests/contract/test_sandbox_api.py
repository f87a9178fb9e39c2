"""The sandbox's API beyond the recordings: watches, lists at versions, access, and Kubernetes' official client."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from kubernetes import client as kube
from kubernetes import config as kube_config
from kubernetes import watch as kube_watch
from kubernetes.dynamic import DynamicClient

from tests.contract.sandbox_client import PODS, SandboxClient, until
from tests.faulty_sandbox import FaultySandbox

METADATA_ONLY = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[FaultySandbox]:
    with FaultySandbox(runs_pods=False, bookmark_seconds=0.05) as server:
        yield server


@pytest.fixture
def client(sandbox: FaultySandbox) -> Iterator[SandboxClient]:
    client = SandboxClient(sandbox)
    yield client
    sandbox.faults.clear()
    client.http.delete(PODS)
    client.close()


@pytest.fixture
def official(sandbox: FaultySandbox) -> Iterator[kube.ApiClient]:
    with kube_config.new_client_from_config_dict(sandbox.kubeconfig()) as api_client:
        yield api_client


def test_the_official_client_creates_lists_patches_and_deletes(client: SandboxClient, official: kube.ApiClient) -> None:
    api = kube.CoreV1Api(official)
    container = kube.V1Container(name="base", image="x", command=["true"])
    body = kube.V1Pod(
        metadata=kube.V1ObjectMeta(name="one", labels={"a": "b"}),
        spec=kube.V1PodSpec(containers=[container], restart_policy="Never"),
    )
    created = api.create_namespaced_pod("default", body)
    assert created.status.phase == "Pending"
    listed = api.list_namespaced_pod("default", label_selector="a=b")
    assert [pod.metadata.name for pod in listed.items] == ["one"]
    patched = api.patch_namespaced_pod("one", "default", {"metadata": {"labels": {"c": "d"}}})
    assert patched.metadata.labels == {"a": "b", "c": "d"}
    api.delete_namespaced_pod("one", "default", grace_period_seconds=0)
    with pytest.raises(kube.ApiException) as caught:
        api.read_namespaced_pod("one", "default")
    assert (caught.value.status, caught.value.reason) == (404, "Not Found")


def test_the_official_client_watches(client: SandboxClient, official: kube.ApiClient) -> None:
    client.create("one", "true")
    client.delete("one")
    watch = kube_watch.Watch()
    client.create("two", "true", labels={"a": "b"})
    events = watch.stream(kube.CoreV1Api(official).list_namespaced_pod, "default", timeout_seconds=1)
    assert [(event["type"], event["object"].metadata.name) for event in events] == [("ADDED", "two")]


def test_the_official_dynamic_client_discovers_pods(client: SandboxClient, official: kube.ApiClient) -> None:
    client.create("one", "true")
    dynamic = DynamicClient(official)
    pods = dynamic.resources.get(api_version="v1", kind="Pod")
    assert [pod.metadata.name for pod in pods.get(namespace="default").items] == ["one"]


def test_a_watch_that_asks_for_bookmarks_gets_them_while_nothing_happens(client: SandboxClient) -> None:
    version = client.create("one", "true")["metadata"]["resourceVersion"]
    with client.watch(resourceVersion=version, allowWatchBookmarks="true", timeoutSeconds=30) as events:
        bookmark = next(events)
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"] == {"resourceVersion": version}


def test_a_bookmarks_version_can_be_resumed_from(client: SandboxClient, sandbox: FaultySandbox) -> None:
    start = client.get(PODS)["metadata"]["resourceVersion"]
    client.post("/api/v1/namespaces/default/configmaps", {"metadata": {"generateName": "other-"}})
    with client.watch(resourceVersion=start, allowWatchBookmarks="true", timeoutSeconds=30) as events:
        version = next(events)["object"]["metadata"]["resourceVersion"]
    assert int(version) > int(start)
    sandbox.faults.compact()
    client.create("later", "true")
    with client.watch(resourceVersion=version, timeoutSeconds=30) as events:
        assert next(events)["object"]["metadata"]["name"] == "later"


def test_a_watch_on_all_namespaces_sees_pods_of_each(client: SandboxClient) -> None:
    version = client.get("/api/v1/pods")["metadata"]["resourceVersion"]
    client.create("one", "true")
    client.post(
        "/api/v1/namespaces/kube-system/pods",
        {"metadata": {"name": "two"}, "spec": {"containers": [{"name": "a", "image": "x"}]}},
    )
    with client.watch("/api/v1/pods", resourceVersion=version, timeoutSeconds=30) as events:
        seen = [next(events)["object"]["metadata"]["namespace"] for _ in range(2)]
    assert seen == ["default", "kube-system"]
    client.http.delete("/api/v1/namespaces/kube-system/pods/two")


def test_a_watch_of_metadata_carries_no_spec(client: SandboxClient) -> None:
    client.create("one", "true")
    with client.watch(headers=METADATA_ONLY, timeoutSeconds=30) as events:
        shown = next(events)["object"]
    assert shown["kind"] == "PartialObjectMetadata"
    assert shown.keys() == {"kind", "apiVersion", "metadata"}
    one = client.http.get(f"{PODS}/one", headers=METADATA_ONLY).json()
    assert one["kind"] == "PartialObjectMetadata"


def test_a_compacted_version_is_gone_for_watches_lists_and_pages(client: SandboxClient, sandbox: FaultySandbox) -> None:
    client.create("one", "true")
    client.create("two", "true")
    page = client.get(PODS, limit=1)["metadata"]
    client.create("three", "true")
    sandbox.faults.compact()
    with client.watch(resourceVersion=page["resourceVersion"], timeoutSeconds=30) as events:
        (event,) = events
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    listed = client.http.get(PODS, params={"resourceVersion": page["resourceVersion"], "resourceVersionMatch": "Exact"})
    assert listed.status_code == 410
    paged = client.http.get(PODS, params={"limit": 1, "continue": page["continue"]})
    assert (paged.status_code, paged.json()["reason"]) == (410, "Expired")


def test_pages_show_one_moment_however_much_changes_between_them(client: SandboxClient) -> None:
    for name in ("a", "b", "c"):
        client.create(name, "true")
    first = client.get(PODS, limit=2)
    client.delete("c")
    client.create("d", "true")
    second = client.get(PODS, limit=2, **{"continue": first["metadata"]["continue"]})
    names = [pod["metadata"]["name"] for pod in (*first["items"], *second["items"])]
    assert names == ["a", "b", "c"]
    assert first["metadata"]["remainingItemCount"] == 1
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_a_list_from_the_future_asks_to_come_back(client: SandboxClient) -> None:
    answer = client.http.get(PODS, params={"resourceVersion": "99999999"})
    assert (answer.status_code, answer.headers["retry-after"]) == (504, "1")
    assert "Too large resource version" in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/v1/nosuch", 404),
        ("GET", "/apis/apps/v1/deployments", 404),
        ("GET", f"{PODS}?continue=garbage", 400),
        ("GET", f"{PODS}?limit=x", 400),
        ("GET", f"{PODS}?watch=true&sendInitialEvents=true", 422),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_status(
    client: SandboxClient, method: str, path: str, code: int
) -> None:
    answer = client.http.request(method, path)
    assert (answer.status_code, answer.json()["kind"]) == (code, "Status")


def test_a_patch_in_an_unknown_format_is_refused(client: SandboxClient) -> None:
    client.create("one", "true")
    answer = client.http.patch(f"{PODS}/one", json={}, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (415, "UnsupportedMediaType")


def test_a_body_that_is_not_json_is_refused(client: SandboxClient) -> None:
    answer = client.http.post(PODS, content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


def test_a_pod_can_be_replaced_whole(client: SandboxClient) -> None:
    pod = client.create("one", "true")
    pod["metadata"]["labels"] = {"new": "1"}
    assert client.ok(client.http.put(f"{PODS}/one", json=pod))["metadata"]["labels"] == {"new": "1"}
    stale = client.http.put(f"{PODS}/one", json=pod)
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    misnamed = client.http.put(f"{PODS}/one", json={**pod, "metadata": {**pod["metadata"], "name": "two"}})
    assert misnamed.status_code == 400


def test_a_dropped_field_is_named_in_a_warning(client: SandboxClient) -> None:
    body = {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "a", "image": "x"}], "nosuch": 1}}
    answer = client.http.post(PODS, json=body)
    assert answer.status_code == 201
    assert answer.headers["warning"] == '299 - "unknown field \\"spec.nosuch\\""'


def test_events_secrets_and_config_maps_are_plain_objects(client: SandboxClient) -> None:
    secrets = "/api/v1/namespaces/default/secrets"
    client.post(secrets, {"metadata": {"name": "s"}, "stringData": {"a": "hi"}})
    assert client.get(f"{secrets}/s")["data"] == {"a": "aGk="}
    patch = json.dumps({"data": {"b": "eA=="}})
    headers = {"Content-Type": "application/merge-patch+json"}
    patched = client.ok(client.http.patch(f"{secrets}/s", content=patch, headers=headers))
    assert patched["data"] == {"a": "aGk=", "b": "eA=="}
    client.ok(client.http.delete(f"{secrets}/s"))
    assert client.get(secrets)["items"] == []
    event = {"metadata": {"name": "e"}, "involvedObject": {"name": "one"}, "reason": "Because"}
    client.post("/api/v1/namespaces/default/events", event)
    found = client.get("/api/v1/events", fieldSelector="involvedObject.name=one")["items"]
    assert [entry["reason"] for entry in found] == ["Because"]
    assert client.get("/api/v1/events", fieldSelector="involvedObject.name=two")["items"] == []


def test_only_health_and_version_are_answered_without_a_token(sandbox: FaultySandbox) -> None:
    answers = {path: httpx.get(sandbox.url + path).status_code for path in ("/readyz", "/version", "/api", PODS)}
    assert answers == {"/readyz": 200, "/version": 200, "/api": 403, PODS: 403}


def test_a_denied_verb_is_refused_and_the_access_review_says_so(client: SandboxClient, sandbox: FaultySandbox) -> None:
    sandbox.faults.deny("delete", "pods", namespace="default")
    client.create("one", "true")
    answer = client.http.delete(f"{PODS}/one")
    assert answer.status_code == 403
    assert 'cannot delete resource "pods" in API group "" in the namespace "default"' in answer.json()["message"]

    def is_allowed(verb: str) -> bool:
        attributes = {"namespace": "default", "verb": verb, "resource": "pods"}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        review = client.post(path, {"spec": {"resourceAttributes": attributes}})
        return bool(review["status"]["allowed"])

    assert (is_allowed("delete"), is_allowed("create")) == (False, True)


def test_a_namespace_that_exists_or_has_a_bad_name_cannot_be_made(client: SandboxClient) -> None:
    again = client.http.post("/api/v1/namespaces", json={"metadata": {"name": "default"}})
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    dotted = client.http.post("/api/v1/namespaces", json={"metadata": {"name": "a.b"}})
    assert dotted.status_code == 422


def test_a_watch_sees_what_is_written_while_it_is_open(client: SandboxClient) -> None:
    with client.watch(timeoutSeconds=30) as events:
        client.create("one", "true")
        assert next(events)["object"]["metadata"]["name"] == "one"
        client.delete("one")
        assert [next(events)["type"] for _ in range(2)] == ["MODIFIED", "DELETED"]


def test_objects_can_be_looked_at_and_changed_from_the_test_itself(
    client: SandboxClient, sandbox: FaultySandbox
) -> None:
    version = sandbox.call(lambda: sandbox.cluster.version)
    client.create("one", "true")
    until(lambda: sandbox.cluster.version == version + 1)


def test_a_list_of_quotas_shows_what_is_used_as_a_single_one_does(
    sandbox: FaultySandbox, client: SandboxClient
) -> None:
    path = "/api/v1/namespaces/default/resourcequotas"
    client.http.post(path, json={"metadata": {"name": "few"}, "spec": {"hard": {"count/pods": "3"}}})
    client.http.post(PODS, json={"metadata": {"name": "one"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    [listed] = client.http.get(path).json()["items"]
    single = client.http.get(f"{path}/few").json()
    client.http.delete(f"{path}/few")
    assert listed["status"] == single["status"] == {"hard": {"count/pods": "3"}, "used": {"count/pods": "1"}}
