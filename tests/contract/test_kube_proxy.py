"""An API server behind a proxy: the environment says which, whatever release of the Kubernetes library is installed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3
from kubernetes import client as k8s

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.kube.client import KubeClient, connect
from hybrid_executor.sandbox.server import SandboxServer


class Proxy:
    """A forwarding proxy.

    :ivar targets: what it was asked for; :ivar users: who asked, as ``Proxy-Authorization`` says.
    """

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.users: list[str | None] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                proxy.targets.append(self.path)
                proxy.users.append(self.headers.get("Proxy-Authorization"))
                headers = {"Authorization": self.headers.get("Authorization", "")}
                answer = urllib3.request("GET", self.path, headers=headers)
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(answer.data)))
                self.end_headers()
                self.wfile.write(answer.data)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.place = f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    opened = Proxy()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(runs_pods=False) as server:
        yield server


def client_of(sandbox: SandboxServer, tmp_path: Path) -> KubeClient:
    file = tmp_path / "kubeconfig"
    sandbox.write_kubeconfig(file)
    return connect(KubernetesSettings(in_cluster=False, config_file=str(file)))


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_calls_go_through_the_proxy_of_the_environment(
    sandbox: SandboxServer, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"http://me:p%40ss@{proxy.place}")
    client = client_of(sandbox, tmp_path)
    assert client.list_pods("default", "").resource_version
    assert proxy.targets == [f"{sandbox.url}/api/v1/namespaces/default/pods?limit=500"]
    assert proxy.users == ["Basic bWU6cEBzcw=="]
    client.close()


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("value", ["127.0.0.1", "10.0.0.0/8, 127.0.0.0/8", "*", "127.0.0.1:{port}"])
def test_an_excepted_api_server_is_asked_directly(
    sandbox: SandboxServer, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.place}")
    monkeypatch.setenv(name, value.format(port=sandbox.url.rpartition(":")[2]))
    client = client_of(sandbox, tmp_path)
    assert client.list_pods("default", "").resource_version
    assert proxy.targets == []
    client.close()


HOST, TOKEN = "", ""


def make_client() -> k8s.CoreV1Api:
    """A client_factory as deployments write it: a client with what the library makes of the environment."""
    configuration = k8s.Configuration()
    configuration.host = HOST
    configuration.api_key["authorization"] = f"Bearer {TOKEN}"
    return k8s.CoreV1Api(k8s.ApiClient(configuration))


def test_a_client_factory_honours_no_proxy_too(
    sandbox: SandboxServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.HOST", sandbox.url)
    monkeypatch.setattr(f"{__name__}.TOKEN", sandbox.token)
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.place}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = connect(KubernetesSettings(client_factory=f"{__name__}.make_client"))
    assert client.list_pods("default", "").resource_version
    assert proxy.targets == []
    client.close()
