"""One line to a container's standard input and what it answers, through ``pods/attach`` over WebSocket.

Promises: the connection is made by the client's own pool, so TLS, proxy and credentials are those of every other call;
a redirect is not followed. A KubeError means that nothing was written. From the moment of writing on, an error is
returned as a missing answer: the container may have read the line. The line is never logged and in no error.

The protocol: https://kubernetes.io/docs/reference/using-api/api-concepts and
``k8s.io/apimachinery/pkg/util/remotecommand/constants.go``. The first byte of a frame is its channel.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from urllib3.exceptions import HTTPError

from hybrid_executor.errors import KubeError, KubeUnavailable
from hybrid_executor.hiding import hide_secrets
from hybrid_executor.kube.failures import error_of_answer, error_of_silence
from hybrid_executor.kube.transport import CONNECT_SECONDS, Transport

SUBPROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_INPUT, _OUTPUT, _STATUS = 0, 1, 3
_SWITCHED = 101


@dataclass(frozen=True)
class Answer:
    """What a container printed after the line was written.

    :ivar has_come: the answer that was waited for is in ``output``.
    :ivar trouble: why it has not come, "" if it has.
    """

    output: str
    has_come: bool
    trouble: str = ""


def write_line(
    transport: Transport,
    path: str,
    *,
    container: str,
    line: str,
    is_answer: Callable[[str], bool],
    seconds: float,
    doing: str,
) -> Answer:
    """Attach to a container, write a line to its standard input, and wait for the answer.

    :param line: without its newline; it may hold a token.
    :param is_answer: says whether a whole line that the container printed is the answer.
    :param seconds: how long to wait for the answer.
    :raises KubeError: nothing was written: the server refused, or it could not be reached (KubeUnavailable).
    """
    query = urlencode({"container": container, "stdin": "true", "stdout": "true", "stderr": "true"})
    socket = _connect(transport, f"{path}/attach?{query}", doing=doing)
    try:
        return _Exchange(socket, doing).run(line, is_answer=is_answer, seconds=seconds)
    finally:
        socket.shutdown()  # close() would wait for the server's consent


class _Exchange:
    """The frames of one attachment."""

    def __init__(self, socket: Any, doing: str) -> None:
        self._socket = socket
        self._doing = doing
        self._output = ""
        self._trouble = ""

    def run(self, line: str, *, is_answer: Callable[[str], bool], seconds: float) -> Answer:
        """Write the line and read until the answer, the end, or the deadline."""
        from websocket import WebSocketException

        ends_at = time.monotonic() + seconds
        try:
            self._socket.send_binary(bytes([_INPUT]) + line.encode() + b"\n")
            while not self._trouble:
                left = ends_at - time.monotonic()
                if left <= 0:
                    self._trouble = f"no answer within {seconds:g} s"
                    break
                self._socket.settimeout(left)
                self._take(*self._socket.recv_data())
                whole_lines = self._output.split("\n")[:-1]
                if any(is_answer(printed) for printed in whole_lines):
                    return Answer(self._output, has_come=True)
        except (WebSocketException, OSError) as error:
            self._trouble = " ".join(hide_secrets(str(error)).split()) or type(error).__name__
        return Answer(self._output, has_come=False, trouble=f"{self._doing}: {self._trouble}")

    def _take(self, opcode: int, data: bytes | str) -> None:
        from websocket import ABNF

        if opcode == ABNF.OPCODE_CLOSE:
            self._trouble = "the attachment was closed"
        elif isinstance(data, bytes) and data[:1] == bytes([_OUTPUT]):
            self._output += data[1:].decode("utf-8", "replace")
        elif isinstance(data, bytes) and data[:1] == bytes([_STATUS]):
            self._trouble = _words_of_status(data[1:])


def _words_of_status(body: bytes) -> str:
    try:
        status = json.loads(body)
        message = str(status.get("message") or status.get("status") or "")
    except (ValueError, AttributeError):
        message = ""
    return f"the attachment ended: {hide_secrets(message)}"


def _connect(transport: Transport, path: str, *, doing: str) -> Any:
    """Open a WebSocket through the transport's pool.

    :raises KubeError: it was refused, or there is no answer.
    """
    import websocket

    endpoint, headers = transport.authenticated()
    status = 0
    try:
        raw = _connected_socket(endpoint.pool, endpoint.host)
        try:
            socket: Any = websocket.WebSocket(skip_utf8_validation=True)
            socket.connect(
                _websocket_url(endpoint.host + path),
                socket=raw,
                header=[f"{name}: {value}" for name, value in headers.items()],
                subprotocols=list(SUBPROTOCOLS),
                suppress_origin=True,
                redirect_limit=0,
                timeout=CONNECT_SECONDS,
            )
            status = socket.getstatus() or 0
        except BaseException:
            raw.close()
            raise
    except websocket.WebSocketBadStatusException as error:
        transport.on_answer("ATTACH", error.status_code)
        raise _refused(error, doing) from None
    except (websocket.WebSocketException, HTTPError, OSError) as error:
        transport.on_answer("ATTACH", 0)
        raise error_of_silence(doing, error) from error
    transport.on_answer("ATTACH", status)
    if status != _SWITCHED:
        socket.shutdown()
        raise KubeError(f"{doing}: HTTP {status}: the server did not switch to WebSocket", status=status)
    return socket


def _connected_socket(manager: Any, host: str) -> Any:
    """Return a new connection of the pool, with its TLS and through its proxy, and not used for anything else.

    urllib3 has no public way to get one; these two methods have been the same since its release 1.25.
    """
    pool = manager.connection_from_url(host)
    connection = pool._new_conn()  # noqa: SLF001
    connection.timeout = CONNECT_SECONDS
    if pool.proxy is not None and pool.scheme == "https":
        pool._prepare_proxy(connection)  # noqa: SLF001
    elif pool.proxy is not None:
        raise KubeUnavailable("a proxy passes WebSocket on for https only; exclude the address with NO_PROXY")
    else:
        connection.connect()
    raw, connection.sock = connection.sock, None
    return raw


def _websocket_url(url: str) -> str:
    return "ws" + url.removeprefix("http")


def _refused(error: Any, doing: str) -> KubeError:
    headers: Mapping[str, str] = {key.title(): value for key, value in (error.resp_headers or {}).items()}
    return error_of_answer(doing, status=error.status_code, headers=headers, body=error.resp_body or b"")
