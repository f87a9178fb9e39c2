"""The client over TLS: certificates are checked as configured, and a waiting watch can be ended there too."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from urllib3.util.ssl_ import create_urllib3_context

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KubeUnavailable
from hybrid_executor.kube.client import connect
from hybrid_executor.kube.watch import WatchHandle, watch_once
from tests.certificates import write_certificate
from tests.waiting import PATIENCE_SECONDS

EVENT = b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"5"}}}\n'


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path, "right")


@pytest.fixture
def kubeconfig(tmp_path: Path, certificate: Path) -> Iterator[str]:
    with serving(certificate, tmp_path) as kubeconfig:
        yield kubeconfig


@contextmanager
def serving(certificate: Path, folder: Path) -> Iterator[str]:
    """Serve as an API server with a certificate; yield a kubeconfig without any CA."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if "watch=true" not in self.path:
                self.send_response(200)
                self.send_header("Content-Length", "25")
                self.end_headers()
                self.wfile.write(b'{"metadata":{"name":"p"}}')
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(EVENT), EVENT))
            released.wait()

        def log_message(self, format: str, *args: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that do not trust us hang up in the handshake; that is what is tested."""

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    file = folder / "kubeconfig"
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    yield str(file)
    released.set()
    server.shutdown()
    server.server_close()
    thread.join()


def be_as_strict_as_python_3_13(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let urllib3 make its contexts as it does there."""

    def strict(*args: Any, **named: Any) -> ssl.SSLContext:
        context = create_urllib3_context(*args, **named)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    for module in ("urllib3.connection", "hybrid_executor.kube.tls"):
        monkeypatch.setattr(f"{module}.create_urllib3_context", strict)


def settings_of(kubeconfig: str, ca_file: Path) -> KubernetesSettings:
    return KubernetesSettings(in_cluster=False, config_file=kubeconfig, ssl_ca_cert=str(ca_file))


def test_a_server_with_a_certificate_of_the_configured_ca_is_trusted(kubeconfig: str, certificate: Path) -> None:
    client = connect(settings_of(kubeconfig, certificate))
    assert client.get_pod("n", "p")["metadata"]["name"] == "p"
    client.close()


def test_a_certificate_that_newer_releases_of_python_find_malformed_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It has no identifier of its authority's key, as those of many clusters.
    authority = write_certificate(tmp_path, "authority")
    with serving(write_certificate(tmp_path, "signed", authority=authority), tmp_path) as kubeconfig:
        be_as_strict_as_python_3_13(monkeypatch)
        client = connect(settings_of(kubeconfig, authority))
        assert client.get_pod("n", "p")["metadata"]["name"] == "p"
        client.close()


def test_another_certificate_is_refused_with_the_option_to_set(kubeconfig: str, tmp_path: Path) -> None:
    client = connect(settings_of(kubeconfig, write_certificate(tmp_path, "other")))
    with pytest.raises(KubeUnavailable, match=r"\[kubernetes_executor\] ssl_ca_cert"):
        client.get_pod("n", "p")
    client.close()


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_no_certificate_is_refused_where_none_is_checked(kubeconfig: str, tmp_path: Path) -> None:
    settings = settings_of(kubeconfig, write_certificate(tmp_path, "other"))
    client = connect(replace(settings, verify_ssl=False))
    assert client.get_pod("n", "p")["metadata"]["name"] == "p"
    client.close()


def test_a_watch_that_waits_over_tls_is_ended_from_another_thread(kubeconfig: str, certificate: Path) -> None:
    client = connect(settings_of(kubeconfig, certificate))
    handle = WatchHandle()
    events = watch_once(client, "a", "", "5", handle=handle)
    assert next(events)["type"] == "BOOKMARK"
    rest: list[Any] = []
    reader = threading.Thread(target=lambda: rest.extend(events))
    reader.start()
    handle.stop()
    reader.join(timeout=PATIENCE_SECONDS)
    assert not reader.is_alive()
    assert rest == []
    client.close()
