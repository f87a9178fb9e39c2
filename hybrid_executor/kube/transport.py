"""HTTP to one API server: raw JSON over the official library's connection pool, with its credentials.

Promises: every call has a deadline; every failure is a KubeError; credentials are asked for at every call, so that
expiring tokens are renewed. No models are built.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Retry, Timeout

from hybrid_executor.kube.failures import error_of_answer, error_of_silence

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
DEFAULT_TIMEOUT = (CONNECT_SECONDS, READ_SECONDS)

# One more try to connect, nothing else: callers decide about repeating, and a Retry-After must not sleep in here.
DEFAULT_RETRY = Retry(total=1, connect=1, read=0, redirect=0, status=0, other=0, respect_retry_after_header=False)


class RawStream:
    """A response that is read while it comes. Iterate it in one thread; :meth:`stop` may be called from any other."""

    def __init__(self, response: urllib3.BaseHTTPResponse, *, doing: str) -> None:
        self._response = response
        self._doing = doing
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End the iteration at once, even while it waits for data. Repeatable."""
        self._stopped.set()
        connection = self._response.connection
        sock = getattr(connection, "sock", None)
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # the connection is gone already, which is what was wanted

    def chunks(self) -> Iterator[bytes]:
        """Yield bytes as they arrive; a stopped stream ends, a broken or silent one raises.

        :raises KubeUnavailable: the stream broke, or nothing came for longer than the read deadline.
        """
        response = self._response
        try:
            if response.chunked:
                yield from response.read_chunked()
            else:
                while data := response.read1(65536):
                    yield data
        except (HTTPError, OSError, ValueError, AttributeError) as exc:
            # A socket shut down by stop() surfaces as any of these, depending on where the read stood.
            if self._stopped.is_set():
                return
            raise error_of_silence(self._doing, exc) from exc
        finally:
            response.close()
            response.release_conn()

    def lines(self) -> Iterator[bytes]:
        """Yield complete lines without their newline; an unfinished last line is yielded only at a clean end."""
        rest = b""
        for chunk in self.chunks():
            if b"\n" not in chunk:
                rest += chunk
                continue
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            yield from lines
        if rest and not self._stopped.is_set():
            yield rest


class Transport:
    """Requests to one API server. Safe to use from several threads.

    :param pool: the urllib3 pool manager that carries TLS settings, proxies and client certificates.
    :param credentials: returns the headers of authentication, valid now; called for every request, by one thread at a
        time; raises KubeUnavailable where they cannot be had.
    :param timeout: seconds in total, or (connect, read) seconds.
    """

    def __init__(
        self,
        pool: urllib3.PoolManager,
        host: str,
        *,
        credentials: Callable[[], Mapping[str, str]] = dict,
        timeout: float | tuple[float, float] = DEFAULT_TIMEOUT,
        retry: Retry = DEFAULT_RETRY,
    ) -> None:
        self.pool = pool
        self._host = host.rstrip("/")
        self.credentials = credentials
        self._credentials_lock = threading.Lock()
        self.timeout = timeout
        self.retry = retry

    @property
    def host(self) -> str:
        """The API server's address."""
        return self._host

    def close(self) -> None:
        """Drop pooled connections."""
        self.pool.clear()

    def call(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        """Return the body of a 2xx answer.

        :raises KubeError: any other answer (see :mod:`hybrid_executor.kube.failures`).
        :raises KubeUnavailable: no answer within the deadline.
        """
        response = self._send(
            method, path, doing=doing, query=query, body=body, content_type=content_type, accept=accept, stream=False
        )
        return response.data or b""

    def stream(
        self,
        path: str,
        *,
        doing: str,
        query: Mapping[str, str],
        silence_seconds: float,
        accept: str = "application/json",
    ) -> RawStream:
        """Open a response that is read while it comes; no data for ``silence_seconds`` breaks it."""
        response = self._send(
            "GET", path, doing=doing, query=query, accept=accept, stream=True, read_seconds=silence_seconds
        )
        return RawStream(response, doing=doing)

    def _send(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        query: Mapping[str, str] | None,
        stream: bool,
        body: Any = None,
        content_type: str = "",
        accept: str,
        read_seconds: float | None = None,
    ) -> urllib3.BaseHTTPResponse:
        url = self._host + path + ("?" + urlencode(query) if query else "")
        headers = {"Accept": accept, "User-Agent": "airflow-hybrid-executor"}
        data: bytes | None = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body, separators=(",", ":")).encode()
        with self._credentials_lock:
            headers.update(self.credentials())
        try:
            response = self.pool.request(
                method,
                url,
                body=data,
                headers=headers,
                timeout=self._deadline(read_seconds),
                retries=self.retry,
                redirect=False,
                preload_content=not stream,
            )
            if 200 <= response.status < 300:
                return response
            answer = response.data if not stream else response.read()
        except (HTTPError, OSError) as exc:
            raise error_of_silence(doing, exc) from exc
        raise error_of_answer(doing, status=response.status, headers=response.headers, body=answer or b"")

    def _deadline(self, read_seconds: float | None) -> Timeout:
        connect, read = self.timeout if isinstance(self.timeout, tuple) else (self.timeout, self.timeout)
        if read_seconds is not None:
            return Timeout(connect=connect, read=read_seconds)
        total = None if isinstance(self.timeout, tuple) else self.timeout
        return Timeout(connect=connect, read=read, total=total)
