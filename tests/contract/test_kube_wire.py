"""The client against servers that misbehave in every way that networks know; one scripted server plays them all."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import urllib3

from hybrid_executor.errors import KubeError, KubeGone, KubeUnavailable
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.transport import Transport
from hybrid_executor.kube.watch import WatchHandle, watch_once
from tests.http_server import EndingServer
from tests.waiting import PATIENCE_SECONDS

POD = {"metadata": {"name": "p", "resourceVersion": "5"}, "status": {"phase": "Pending"}}
ADDED = {"type": "ADDED", "object": POD}
EXPIRED = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}


class Exchange:
    """One request at the server, and the ways to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.handler = handler
        self.method = handler.command
        self.path = handler.path
        self.headers = handler.headers
        self.body = body

    def answer(self, status: int, body: object, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.handler.send_response(status)
        self.handler.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()
        self.handler.wfile.write(data)

    def begin_stream(self) -> None:
        self.handler.send_response(200)
        self.handler.send_header("Transfer-Encoding", "chunked")
        self.handler.end_headers()

    def chunk(self, data: bytes) -> None:
        self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.handler.wfile.flush()

    def end_stream(self) -> None:
        self.handler.wfile.write(b"0\r\n\r\n")

    def cut(self) -> None:
        self.handler.close_connection = True
        self.handler.connection.shutdown(socket.SHUT_RDWR)


Script = Callable[[Exchange], object]


class ScriptedServer:
    """An HTTP server on loopback that does what ``script`` says; ``released`` lets waiting scripts end."""

    def __init__(self) -> None:
        self.script: Script = lambda exchange: exchange.answer(404, {})
        self.seen: list[Exchange] = []
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                exchange = Exchange(self, self.rfile.read(length))
                outer.seen.append(exchange)
                outer.script(exchange)

            do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815 - names that http.server looks for

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = EndingServer(Handler)
        self._server.begin()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.released.set()
        self._server.end()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    yield scripted
    scripted.close()


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[KubeClient]:
    pool = urllib3.PoolManager()
    yield KubeClient(Transport(pool, server.url, credentials=lambda: {"authorization": "Bearer t"}, timeout=(1.0, 0.3)))
    pool.clear()


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def test_credentials_are_sent_with_each_request(server: ScriptedServer) -> None:
    tokens = iter(["one", "two"])
    server.script = lambda exchange: exchange.answer(200, POD)
    with urllib3.PoolManager() as pool:
        client = KubeClient(Transport(pool, server.url, credentials=lambda: {"authorization": next(tokens)}))
        client.get_pod("a", "p")
        client.get_pod("a", "p")
    assert [exchange.headers["authorization"] for exchange in server.seen] == ["one", "two"]


def test_a_server_that_never_answers_is_unavailable_within_the_deadline(
    server: ScriptedServer, client: KubeClient
) -> None:
    server.script = lambda exchange: server.released.wait()
    began = time.monotonic()
    with pytest.raises(KubeUnavailable) as caught:
        client.get_pod("a", "p")
    assert caught.value.status == 0
    assert time.monotonic() - began < 30


def test_nobody_listening_is_unavailable_and_not_an_empty_list() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with urllib3.PoolManager() as pool, pytest.raises(KubeUnavailable, match="no answer"):
        KubeClient(Transport(pool, f"http://127.0.0.1:{port}")).list_pods("a", "")


def test_a_connection_that_is_cut_is_unavailable(server: ScriptedServer, client: KubeClient) -> None:
    server.script = Exchange.cut
    with pytest.raises(KubeUnavailable):
        client.create_pod("a", POD)
    assert len(server.seen) == 1


def test_a_plain_text_429_carries_the_servers_pause(server: ScriptedServer, client: KubeClient) -> None:
    words = b"Too many requests, please try again later.\n"
    server.script = lambda exchange: exchange.answer(429, words, Retry_After="60", Content_Type="text/plain")
    began = time.monotonic()
    with pytest.raises(KubeUnavailable) as caught:
        client.list_pods("a", "")
    assert (caught.value.status, caught.value.retry_after_seconds) == (429, 60.0)
    assert time.monotonic() - began < 30, "the pause is the caller's to keep"
    assert len(server.seen) == 1


def test_an_answer_that_is_no_kubernetes_api_is_an_error(server: ScriptedServer, client: KubeClient) -> None:
    server.script = lambda exchange: exchange.answer(200, b"<html>login</html>")
    with pytest.raises(KubeError, match="is it a Kubernetes API"):
        client.get_pod("a", "p")


def test_configured_query_and_delete_options_are_sent(server: ScriptedServer) -> None:
    server.script = lambda exchange: exchange.answer(200, POD)
    with urllib3.PoolManager() as pool:
        client = KubeClient(
            Transport(pool, server.url), query=(("fieldManager", "me"),), delete_options={"gracePeriodSeconds": 7}
        )
        client.create_pod("a", POD)
        client.delete_pod("a", "p")
        client.delete_pod("a", "p", grace_period_seconds=0, uid="u")
        client.patch_pod("a", "p", {})
    assert [exchange.path.partition("?")[2] for exchange in server.seen] == ["fieldManager=me"] * 3 + [""]
    first, second = (json.loads(exchange.body) for exchange in server.seen[1:3])
    assert first == {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 7}
    assert second["gracePeriodSeconds"] == 0
    assert second["preconditions"] == {"uid": "u"}


def test_names_cannot_reach_another_path(server: ScriptedServer, client: KubeClient) -> None:
    server.script = lambda exchange: exchange.answer(200, POD)
    client.get_pod("a", "../secrets/x?y")
    assert server.seen[0].path == "/api/v1/namespaces/a/pods/..%2Fsecrets%2Fx%3Fy"


def page(names: list[str], token: str = "") -> dict[str, Any]:
    return {
        "metadata": {"resourceVersion": "9", "continue": token},
        "items": [{"metadata": {"name": n}} for n in names],
    }


def test_a_list_whose_snapshot_expired_begins_again_once(server: ScriptedServer, client: KubeClient) -> None:
    answers = iter([(200, page(["old"], "t")), (410, EXPIRED), (200, page(["a"], "t")), (200, page(["b"]))])
    server.script = lambda exchange: exchange.answer(*next(answers))
    listed = client.list_pods("a", "x=y")
    assert [item["metadata"]["name"] for item in listed.items] == ["a", "b"]
    assert listed.resource_version == "9"
    assert ["continue" in exchange.path for exchange in server.seen] == [False, True, False, True]


def test_a_list_that_expires_twice_is_gone(server: ScriptedServer, client: KubeClient) -> None:
    server.script = lambda exchange: exchange.answer(410, EXPIRED)
    with pytest.raises(KubeGone):
        client.list_pods("a", "")
    assert len(server.seen) == 2


def streaming(*chunks: bytes, then: Callable[[Exchange], object] = Exchange.end_stream) -> Script:
    def script(exchange: Exchange) -> None:
        exchange.begin_stream()
        for chunk in chunks:
            exchange.chunk(chunk)
        then(exchange)

    return script


def test_events_arrive_whole_however_they_are_cut_into_chunks(server: ScriptedServer, client: KubeClient) -> None:
    data = lines(ADDED, ADDED, ADDED)
    server.script = streaming(data[:10], data[10:90], data[90:])
    assert list(watch_once(client, "a", "x=y", "5")) == [ADDED, ADDED, ADDED]
    path = server.seen[0].path
    assert path.startswith("/api/v1/namespaces/a/pods?")
    assert {"watch=true", "resourceVersion=5", "allowWatchBookmarks=true", "labelSelector=x%3Dy"} <= set(
        path.partition("?")[2].split("&")
    )


def test_an_event_arrives_before_the_stream_ends(server: ScriptedServer, client: KubeClient) -> None:
    server.script = streaming(lines(ADDED), then=lambda exchange: server.released.wait())
    events = watch_once(client, None, "", "5")
    assert next(events) == ADDED
    events.close()  # type: ignore[attr-defined]


def test_a_stream_without_chunks_is_read_too(server: ScriptedServer, client: KubeClient) -> None:
    server.script = lambda exchange: exchange.answer(200, lines(ADDED, ADDED))
    assert list(watch_once(client, "a", "", "5")) == [ADDED, ADDED]


def test_a_refused_watch_raises_when_it_is_iterated(server: ScriptedServer, client: KubeClient) -> None:
    server.script = lambda exchange: exchange.answer(410, EXPIRED)
    events = watch_once(client, "a", "", "1")
    assert server.seen == []
    with pytest.raises(KubeGone):
        next(events)


def test_a_410_inside_the_stream_is_raised_after_the_events_before_it(
    server: ScriptedServer, client: KubeClient
) -> None:
    server.script = streaming(lines(ADDED, {"type": "ERROR", "object": EXPIRED}))
    events = watch_once(client, "a", "", "1")
    assert next(events) == ADDED
    with pytest.raises(KubeGone, match="too old"):
        next(events)


@pytest.mark.parametrize("tail", [b"", b'{"type": "MODI'])
def test_a_cut_stream_is_unavailable_after_the_events_before_it(
    server: ScriptedServer, client: KubeClient, tail: bytes
) -> None:
    server.script = streaming(lines(ADDED) + tail, then=Exchange.cut)
    events = watch_once(client, "a", "", "5")
    assert next(events) == ADDED
    with pytest.raises(KubeUnavailable):
        next(events)


def test_a_clean_end_inside_an_event_is_a_cut_stream(server: ScriptedServer, client: KubeClient) -> None:
    server.script = streaming(b'{"type": "MODI')
    with pytest.raises(KubeUnavailable, match="cut inside an event"):
        list(watch_once(client, "a", "", "5"))


def test_a_silent_stream_is_unavailable_after_the_silence_deadline(server: ScriptedServer, client: KubeClient) -> None:
    server.script = streaming(lines(ADDED), then=lambda exchange: server.released.wait())
    events = watch_once(client, "a", "", "5", silence_seconds=0.2)
    assert next(events) == ADDED
    began = time.monotonic()
    with pytest.raises(KubeUnavailable, match="no answer"):
        next(events)
    assert time.monotonic() - began < 30


def test_another_thread_ends_a_watch_that_waits(server: ScriptedServer, client: KubeClient) -> None:
    server.script = streaming(lines(ADDED), then=lambda exchange: server.released.wait())
    handle = WatchHandle()
    events = watch_once(client, "a", "", "5", silence_seconds=600, handle=handle)
    assert next(events) == ADDED
    rest: list[Any] = []
    reader = threading.Thread(target=lambda: rest.extend(events))
    reader.start()
    handle.stop()
    reader.join(timeout=PATIENCE_SECONDS)
    assert not reader.is_alive()
    assert rest == []


def test_a_stopped_handle_ends_later_watches_at_once_without_a_request(
    server: ScriptedServer, client: KubeClient
) -> None:
    handle = WatchHandle()
    handle.stop()
    assert list(watch_once(client, "a", "", "5", handle=handle)) == []
    assert server.seen == []


def test_a_log_is_followed_line_by_line(server: ScriptedServer, client: KubeClient) -> None:
    server.script = streaming(b"one\ntw", b"o\nthr\xffee\nlast")
    log = client.read_pod_log("a", "p", container="base", tail_lines=5, follow=True)
    assert list(log) == ["one", "two", "thr�ee", "last"]
    assert set(server.seen[0].path.partition("?")[2].split("&")) == {"container=base", "tailLines=5", "follow=true"}


def test_a_refused_log_is_an_error_when_it_is_asked_for(server: ScriptedServer, client: KubeClient) -> None:
    server.script = lambda exchange: exchange.answer(404, {"kind": "Status", "code": 404, "reason": "NotFound"})
    with pytest.raises(KubeError) as caught:
        client.read_pod_log("a", "p", container="base", tail_lines=5, follow=True)
    assert caught.value.status == 404
