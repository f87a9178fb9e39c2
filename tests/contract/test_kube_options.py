"""Options of ``[kubernetes_executor]`` as text in, and their effect on the wire, the socket and the pod out."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybrid_executor.agent.namespaces import namespaces_to_watch
from hybrid_executor.config import DictConfig, read_settings
from hybrid_executor.config.kubernetes import KUBERNETES_OPTIONS, KubernetesSettings, read_kubernetes_settings
from hybrid_executor.errors import KubeError, KubeUnavailable
from hybrid_executor.kube.client import KubeClient, connect
from hybrid_executor.kube.manifest import build_pod
from hybrid_executor.kube.request import PodRequest
from hybrid_executor.kube.template import TemplateCache, choose_template

from .test_kube_wire import POD, Exchange, ScriptedServer

WITHOUT_EFFECT = {"async_pod_creation", "async_client_factory"}
"""Accepted for existing configurations: they chose between two ways of doing what is done in one way here."""

VALUES = {
    "api_client_retry_configuration": '{"total": 2}',
    "client_factory": "package.module.function",
    "cluster_context": "b",
    "config_file": "/x",
    "delete_option_kwargs": '{"grace_period_seconds": 3}',
    "delete_worker_pods": "False",
    "delete_worker_pods_on_failure": "True",
    "enable_tcp_keepalive": "False",
    "in_cluster": "False",
    "kube_client_request_args": '{"_request_timeout": 3}',
    "logs_task_metadata": "True",
    "multi_namespace_mode": "True",
    "multi_namespace_mode_namespace_list": "a,b",
    "namespace": "n",
    "pod_creation_max_concurrency": "3",
    "pod_launch_failure_excluded_container_reasons": "OOMKilled",
    "pod_launch_failure_retries": "3",
    "pod_template_file": "/x",
    "running_pod_log_lines": "3",
    "ssl_ca_cert": "/x",
    "task_publish_max_retries": "3",
    "tcp_keep_cnt": "3",
    "tcp_keep_idle": "3",
    "tcp_keep_intvl": "3",
    "termination_grace_period_seconds": "3",
    "verify_ssl": "False",
    "worker_pod_pending_fatal_container_state_reasons": "ImagePullBackOff",
    "worker_pods_creation_batch_size": "64",
}
PAIR = {"worker_container_repository": "r", "worker_container_tag": "t"}


def read(**options: str) -> KubernetesSettings:
    return read_kubernetes_settings(DictConfig({"kubernetes_executor": options}))


def test_every_option_is_read_or_explained() -> None:
    names = {option.name for option in KUBERNETES_OPTIONS}
    assert names == set(VALUES) | set(PAIR) | WITHOUT_EFFECT
    assert [name for name, value in VALUES.items() if read(**{name: value}) == read()] == []
    assert read(**PAIR) != read()
    explained = {option.name for option in KUBERNETES_OPTIONS if "has no effect" in option.description}
    assert explained == WITHOUT_EFFECT


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    scripted.script = lambda exchange: exchange.answer(200, {**POD, "items": []})
    yield scripted
    scripted.close()


Open = Callable[..., KubeClient]


@pytest.fixture
def open_client(server: ScriptedServer, tmp_path: Path) -> Iterator[Open]:
    """Return a function that connects to the server with options as a deployment writes them."""
    file = tmp_path / "kubeconfig"
    contexts = [{"name": name, "context": {"cluster": "c", "user": name}} for name in ("a", "b")]
    users = [{"name": name, "user": {"token": f"token-of-{name}"}} for name in ("a", "b")]
    clusters = [{"name": "c", "cluster": {"server": server.url}}]
    config = {"clusters": clusters, "users": users, "contexts": contexts, "current-context": "a"}
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **config}))
    opened = []

    def open_with(**options: str) -> KubeClient:
        opened.append(connect(read(**{"in_cluster": "False", "config_file": str(file), **options})))
        return opened[-1]

    yield open_with
    for client in opened:
        client.close()


def body_of_deletion(exchange: Exchange) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(exchange.body)
    return body


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, lambda seen: seen.path.endswith("/pods/p") and "gracePeriodSeconds" not in body_of_deletion(seen)),
        ({"cluster_context": "b"}, lambda seen: seen.headers["Authorization"] == "Bearer token-of-b"),
        ({"kube_client_request_args": '{"dry_run": "All"}'}, lambda seen: seen.path.endswith("?dryRun=All")),
        (
            {"delete_option_kwargs": '{"propagation_policy": "Orphan"}'},
            lambda seen: body_of_deletion(seen)["propagationPolicy"] == "Orphan",
        ),
        (
            {"termination_grace_period_seconds": "7"},
            lambda seen: body_of_deletion(seen)["gracePeriodSeconds"] == 7,
        ),
    ],
)
def test_an_option_changes_what_is_sent(
    server: ScriptedServer, open_client: Open, options: dict[str, str], sent: Callable[[Exchange], bool]
) -> None:
    open_client(**options).delete_pod("n", "p")
    [seen] = server.seen
    assert sent(seen)


@pytest.mark.parametrize(
    ("option", "requests"), [("", 1), ('{"total": 2, "status": 2, "status_forcelist": [503], "backoff_factor": 0}', 3)]
)
def test_retry_arguments_decide_how_often_a_call_is_made(
    server: ScriptedServer, open_client: Open, option: str, requests: int
) -> None:
    server.script = lambda exchange: exchange.answer(503, {})
    with pytest.raises(KubeError):
        open_client(api_client_retry_configuration=option).get_pod("n", "p")
    assert len(server.seen) == requests


@pytest.mark.parametrize("timeout", ["0.2", "[5, 0.2]"])
def test_a_request_timeout_ends_a_call_that_is_not_answered(
    server: ScriptedServer, open_client: Open, timeout: str
) -> None:
    server.script = lambda exchange: server.released.wait(20)
    with pytest.raises(KubeUnavailable):
        open_client(kube_client_request_args=f'{{"_request_timeout": {timeout}}}').get_pod("n", "p")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, (1, 120, 30, 6)),
        ({"tcp_keep_idle": "11", "tcp_keep_intvl": "12", "tcp_keep_cnt": "13"}, (1, 11, 12, 13)),
        ({"enable_tcp_keepalive": "False"}, (0,)),
    ],
)
def test_keepalive_options_are_those_of_the_socket(
    server: ScriptedServer, open_client: Open, options: dict[str, str], found: tuple[int, ...]
) -> None:
    server.script = lambda exchange: (exchange.begin_stream(), server.released.wait(20))
    stream = open_client(**options).watch_pods("n", "", "1", silence_seconds=5)
    connection: Any = stream._response.connection
    names = [(socket.IPPROTO_TCP, getattr(socket, f"TCP_KEEP{name}")) for name in ("IDLE", "INTVL", "CNT")]
    told = tuple(connection.sock.getsockopt(*name) for name in [(socket.SOL_SOCKET, socket.SO_KEEPALIVE), *names])
    stream.stop()
    assert told[: len(found)] == found


@pytest.mark.parametrize(
    ("options", "paths"),
    [
        ({}, ["/api/v1/namespaces/default/pods"]),
        ({"namespace": "n"}, ["/api/v1/namespaces/n/pods"]),
        ({"multi_namespace_mode": "True"}, ["/api/v1/pods"]),
        (
            {"multi_namespace_mode": "True", "multi_namespace_mode_namespace_list": "a, b", "namespace": "n"},
            ["/api/v1/namespaces/a/pods", "/api/v1/namespaces/b/pods", "/api/v1/namespaces/n/pods"],
        ),
        ({"multi_namespace_mode_namespace_list": "a"}, ["/api/v1/namespaces/default/pods"]),
    ],
)
def test_namespace_options_decide_where_pods_are_listed(
    server: ScriptedServer, open_client: Open, options: dict[str, str], paths: list[str]
) -> None:
    server.script = lambda exchange: exchange.answer(200, {"metadata": {"resourceVersion": "1"}, "items": []})
    client = open_client(**options)
    routes = read_settings(DictConfig({"hybrid_executor": {"routes": "*=kubernetes"}}))
    for namespace in namespaces_to_watch("default", routes, read(**options)):
        client.list_pods(namespace, "")
    assert [exchange.path.partition("?")[0] for exchange in server.seen] == paths


def test_options_of_the_pod_decide_how_it_looks(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("spec: {serviceAccountName: worker, containers: [{name: base, image: theirs}]}")

    def pod_of(**options: str) -> dict[str, Any]:
        settings = read(pod_template_file=str(template), **options)
        request = PodRequest(kind="task", attempt_id="a", instance="i", queue="q", payload="{}")
        return build_pod(request, settings, TemplateCache().load(choose_template(request, settings)))

    plain, told = pod_of(), pod_of(namespace="n", **PAIR)
    assert plain["spec"]["serviceAccountName"] == told["spec"]["serviceAccountName"] == "worker"
    assert (plain["metadata"]["namespace"], plain["spec"]["containers"][0]["image"]) == ("default", "theirs")
    assert (told["metadata"]["namespace"], told["spec"]["containers"][0]["image"]) == ("n", "r:t")
