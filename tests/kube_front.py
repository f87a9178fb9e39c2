"""A TLS front before a sandbox: it alone decides who is let through, so that credentials can change while it runs."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import urllib3
import yaml

from hybrid_executor.sandbox.server import SandboxServer
from tests.certificates import write_certificate
from tests.http_server import EndingServer

_REFUSAL = b'{"kind": "Status", "status": "Failure", "message": "Unauthorized", "reason": "Unauthorized", "code": 401}'


class KubeFront:
    """Serves the sandbox over HTTPS to those who are let in.

    :ivar tokens: bearer tokens that are accepted now.
    :ivar clients: common names of client certificates that are accepted now.
    :ivar webhook: changes each object that is to be created, as a mutating webhook does.
    :ivar seen: the ``Authorization`` header of each request that came.
    :ivar authority: the CA file of server and clients.
    """

    def __init__(self, sandbox: SandboxServer, folder: Path) -> None:
        self.tokens: set[str] = set()
        self.clients: set[str] = set()
        self.seen: list[str] = []
        self.webhook: Callable[[dict[str, Any]], None] = lambda _: None
        self.folder = folder
        self.authority = write_certificate(folder, "authority")
        self._pool = urllib3.PoolManager(headers={"Authorization": f"Bearer {sandbox.token}"}, maxsize=20)
        self._server = _Server(_handler(self, sandbox.url))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(write_certificate(folder, "front", authority=self.authority))
        context.load_verify_locations(self.authority)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.begin()

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def write_kubeconfig(self, user: dict[str, Any], *, ca: dict[str, str] | None = None) -> Path:
        """Write a kubeconfig anew, as tools do: the whole file at once."""
        cluster = {"server": self.url, **(ca or {"certificate-authority": str(self.authority)})}
        content = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user}],
        }
        file = self.folder / "front-kubeconfig"
        fresh = self.folder / "front-kubeconfig.new"
        fresh.write_text(yaml.safe_dump(content))
        fresh.replace(file)
        return file

    def client_certificate(self, name: str) -> Path:
        """Write a certificate for a client and return its file, which holds the key too."""
        return write_certificate(self.folder, name, authority=self.authority)

    def admits(self, authorization: str, certificate: dict[str, Any]) -> bool:
        """Return whether a request is let through."""
        self.seen.append(authorization)
        subject = {key: value for part in certificate.get("subject", ()) for key, value in part}
        return authorization.partition(" ")[2] in self.tokens or subject.get("commonName") in self.clients

    def forward(self, handler: BaseHTTPRequestHandler, url: str) -> None:
        """Send a request on and its answer back, as it comes."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if handler.command == "POST":
            created = json.loads(body)
            self.webhook(created)
            body = json.dumps(created).encode()
        answer = self._pool.request(
            handler.command,
            url + handler.path,
            body=body,
            headers={
                **self._pool.headers,
                "Content-Type": handler.headers.get("Content-Type", ""),
                "Accept": handler.headers.get("Accept", ""),
            },
            preload_content=False,
            retries=False,
        )
        handler.send_response(answer.status)
        handler.send_header("Content-Type", answer.headers.get("Content-Type", ""))
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            for chunk in answer.read_chunked() if answer.chunked else [answer.read()]:
                if chunk:
                    handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            handler.wfile.write(b"0\r\n\r\n")
        except (OSError, urllib3.exceptions.HTTPError):
            handler.close_connection = True
        finally:
            answer.close()

    def close(self) -> None:
        self._server.end()
        self._pool.clear()


class _Server(EndingServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that do not trust us hang up in the handshake; that is what is tested."""


def _handler(front: KubeFront, url: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if front.admits(self.headers.get("Authorization", ""), self.connection.getpeercert() or {}):  # type: ignore[attr-defined]
                front.forward(self, url)
                return
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(_REFUSAL)))
            self.end_headers()
            self.wfile.write(_REFUSAL)

        def do_POST(self) -> None:
            self.do_GET()

        def do_PATCH(self) -> None:
            self.do_GET()

        def do_DELETE(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            return

    return Handler
