"""HTTP to one API server: raw JSON over the official library's connection pool, with its credentials.

Promises: every call has a deadline; every failure is a KubeError; credentials are read for every call, so that
expiring tokens are renewed and replaced credentials are found. No models are built.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Retry, Timeout

from hybrid_executor.errors import ConfigError, KubeError, KubeUnavailable
from hybrid_executor.kube.api_warnings import ApiWarnings
from hybrid_executor.kube.endpoint import Endpoint
from hybrid_executor.kube.failures import (
    UNAUTHORIZED,
    error_of_answer,
    error_of_silence,
    is_broken_file,
    is_refused_connection,
)

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
DEFAULT_TIMEOUT = (CONNECT_SECONDS, READ_SECONDS)

# One more try to connect, nothing else: callers decide about retries, and a Retry-After must not sleep here.
DEFAULT_RETRY = Retry(total=1, connect=1, read=0, redirect=0, status=0, other=0, respect_retry_after_header=False)

_MOST_RELOAD_SECONDS = 30.0


class RawStream:
    """A response that is read while it arrives. Iterate it in one thread; :meth:`stop` may be called from any other."""

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
                return  # the connection is closed already

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
            # A socket that stop() shut down raises any of these, depending on where the read was.
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

    If the server rejects the credentials, or one of their files is missing or wrong, the configuration is loaded again
    and the request is sent once more. While that does not help, it is done in longer and longer intervals, up to 30 s.

    :param pool: the urllib3 pool manager that carries TLS settings, proxies and client certificates.
    :param credentials: returns the headers of authentication, valid now; called for every request, by one thread at a
        time; raises KubeUnavailable where they cannot be had.
    :param timeout: seconds in total, or (connect, read) seconds.
    :param reload: loads the configuration again; raises ConfigError. None if it cannot change.
    """

    def __init__(
        self,
        pool: urllib3.PoolManager,
        host: str,
        *,
        credentials: Callable[[], Mapping[str, str]] = dict,
        timeout: float | tuple[float, float] = DEFAULT_TIMEOUT,
        retry: Retry = DEFAULT_RETRY,
        reload: Callable[[], Endpoint] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = Endpoint(pool, host.rstrip("/"), credentials)
        self._credentials_lock = threading.Lock()
        self._reload = reload
        self._reload_lock = threading.Lock()
        self._reloads_in_vain = 0
        self._next_reload_at = 0.0
        self._clock = clock
        self.warnings = ApiWarnings()
        self.on_answer: Callable[[str, int], None] = lambda *_: None
        """Is told method and status of each answer, status 0 where there was none. The method is ``WATCH`` for a stream
        of pods and ``ATTACH`` for an attachment."""
        self.timeout = timeout
        self.retry = retry
        self.server_time: datetime | None = None
        """The time on the server's clock at its last answer, ``None`` before."""

    @property
    def host(self) -> str:
        """The API server's address."""
        return self._endpoint.host

    @property
    def pool(self) -> urllib3.PoolManager:
        """The present connection pool."""
        return self._endpoint.pool

    @property
    def credentials(self) -> Callable[[], Mapping[str, str]]:
        """What returns the headers of authentication now."""
        return self._endpoint.credentials

    def authenticated(self) -> tuple[Endpoint, Mapping[str, str]]:
        """Return the present endpoint and the headers of authentication, valid now.

        :raises KubeUnavailable: there are no credentials now.
        """
        endpoint = self._endpoint
        with self._credentials_lock:
            return endpoint, endpoint.credentials()

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
        self.server_time = _time_of(response.headers.get("Date", "")) or self.server_time
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
        """Open a response that is read while it arrives; no data for ``silence_seconds`` breaks it."""
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
        headers = {"Accept": accept, "User-Agent": "airflow-hybrid-executor"}
        data: bytes | None = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body, separators=(",", ":")).encode()

        def send_to(endpoint: Endpoint) -> urllib3.BaseHTTPResponse:
            return self._send_to(
                endpoint,
                method,
                path + ("?" + urlencode(query) if query else ""),
                doing=doing,
                headers=headers,
                data=data,
                stream=stream,
                read_seconds=read_seconds,
            )

        endpoint = self._endpoint
        try:
            response = send_to(endpoint)
        except KubeError as error:
            if not self._may_help_to_reload(error) or not self._load_anew(endpoint, doing):
                raise
            if not _is_about_credentials(error) and self._endpoint.host == endpoint.host:
                raise  # the server is down and has not moved: the caller decides when to ask again
            response = send_to(self._endpoint)
        self._reloads_in_vain = 0
        return response

    def _send_to(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        *,
        doing: str,
        headers: Mapping[str, str],
        data: bytes | None,
        stream: bool,
        read_seconds: float | None,
    ) -> urllib3.BaseHTTPResponse:
        with self._credentials_lock:
            headers = {**headers, **endpoint.credentials()}
        verb, answered = "WATCH" if stream and "watch=true" in path else method, False
        try:
            response = endpoint.pool.request(
                method,
                endpoint.host + path,
                body=data,
                headers=headers,
                timeout=self._deadline(read_seconds),
                retries=self.retry,
                redirect=False,
                preload_content=not stream,
            )
            answered = True
            self.on_answer(verb, response.status)
            if 200 <= response.status < 300:
                self.warnings.hear(response.headers.getlist("Warning"), doing=doing)
                return response
            answer = response.data if not stream else response.read()
        except (HTTPError, OSError) as exc:
            if not answered:
                self.on_answer(verb, 0)
            raise error_of_silence(doing, exc) from exc
        except ValueError as exc:
            # From http.client, about a header; its words show the token.
            raise KubeUnavailable(
                f"{doing}: the request could not be sent ({type(exc).__name__}): the address is not valid, or the "
                "token of the service account or kubeconfig holds what no HTTP header may hold, such as a line break"
            ) from None
        raise error_of_answer(doing, status=response.status, headers=response.headers, body=answer or b"")

    def _may_help_to_reload(self, error: KubeError) -> bool:
        return self._reload is not None and (_is_about_credentials(error) or is_refused_connection(error.__cause__))

    def _load_anew(self, stale: Endpoint, doing: str) -> bool:
        """Load the configuration again unless that was tried just now; return whether the endpoint has changed.

        :raises KubeUnavailable: it cannot be loaded.
        """
        with self._reload_lock:
            if self._endpoint is not stale:
                return True
            now = self._clock()
            if self._reload is None or now < self._next_reload_at:
                return False
            self._next_reload_at = now + min(_MOST_RELOAD_SECONDS, 2.0**self._reloads_in_vain)
            self._reloads_in_vain = min(self._reloads_in_vain + 1, 10)
            try:
                self._endpoint = self._reload()
            except ConfigError as error:
                raise KubeUnavailable(
                    f"{doing}: credentials expired or rejected, and the configuration cannot be loaded again: {error}"
                ) from error
        stale.pool.clear()
        log.info("Loaded the configuration of the Kubernetes API %s again", self.host)
        return True

    def _deadline(self, read_seconds: float | None) -> Timeout:
        connect, read = self.timeout if isinstance(self.timeout, tuple) else (self.timeout, self.timeout)
        if read_seconds is not None:
            return Timeout(connect=connect, read=read_seconds)
        total = None if isinstance(self.timeout, tuple) else self.timeout
        return Timeout(connect=connect, read=read, total=total)


def _is_about_credentials(error: KubeError) -> bool:
    return error.status == UNAUTHORIZED or is_broken_file(error.__cause__)


def _time_of(text: str) -> datetime | None:
    """Return the time in a Date header, ``None`` if there is none."""
    try:
        return parsedate_to_datetime(text).astimezone(timezone.utc)
    except (ValueError, TypeError):
        return None
