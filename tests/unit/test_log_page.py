"""The log page's first lines: which requests are meant, what is said, and what happens to answers of each shape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from hybrid_executor.plugin.audit_log import EXPIRED, Attempt, Ending, Words, judge
from hybrid_executor.plugin.log_page import ReasonFirst, asked_attempt

PATH = "/api/v2/dags/d/dagRuns/manual__2026-01-01T00:00:00+00:00/taskInstances/t/logs/2"
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
SOURCES = [{"event": "::group::Log message source details"}, {"event": "asked"}, {"event": "::endgroup::"}]
LOG = [*SOURCES, {"event": "a line", "level": "info"}]
JSON, LINES = b"application/json", b"application/x-ndjson"


def request(path: str = PATH, *, query: str = "", method: str = "GET") -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": []}


def ending(*texts: str, has_started: bool = True) -> Ending:
    return Ending(words=[Words(text=text) for text in texts], has_started=has_started)


def answer(
    read: Callable[[Attempt], Ending | None],
    chunks: Sequence[bytes],
    *,
    content_type: bytes = JSON,
    status: int = 200,
    scope: dict[str, Any] | None = None,
) -> tuple[dict[bytes, bytes], bytes]:
    """Return headers and body that reach the browser where Airflow answers in these chunks."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", content_type), (b"content-length", b"%d" % sum(map(len, chunks)))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for number, chunk in enumerate(chunks, 1):
            await send({"type": "http.response.body", "body": chunk, "more_body": number < len(chunks)})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody reads the request")

    asyncio.run(ReasonFirst(app, read)(scope or request(), receive, send))
    assert [message.get("more_body", False) for message in sent[1:]][-1] is False
    return dict(sent[0]["headers"]), b"".join(message["body"] for message in sent[1:])


def as_document(lines: Sequence[Any]) -> bytes:
    return json.dumps({"continuation_token": None, "content": list(lines)}).encode()


def as_lines(lines: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def events(body: bytes, content_type: bytes = JSON) -> list[str]:
    found = json.loads(body)["content"] if content_type == JSON else map(json.loads, body.splitlines())
    return [line["event"] for line in found]


def test_the_attempt_is_taken_from_the_path_and_the_query() -> None:
    attempt = asked_attempt(request("/prefix" + PATH, query="map_index=3&full_content=false"))
    run_id = "manual__2026-01-01T00:00:00+00:00"
    assert attempt == Attempt(dag_id="d", run_id=run_id, task_id="t", map_index=3, try_number=2)


@pytest.mark.parametrize(
    "scope",
    [
        request("/api/v2/dags/d/dagRuns/r/taskInstances/t"),
        request(PATH + "/more"),
        request(method="DELETE"),
        request(query="token=the-rest-of-a-long-log"),
        request(query="map_index=x"),
        {"type": "lifespan"},
    ],
)
def test_other_requests_are_left_alone(scope: dict[str, Any]) -> None:
    assert asked_attempt(scope) is None


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(("content_type", "make"), [(JSON, as_document), (LINES, as_lines)])
def test_the_reason_comes_first_however_the_answer_is_cut(
    size: int, content_type: bytes, make: Callable[[Sequence[Any]], bytes]
) -> None:
    body = make(LOG)
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    headers, got = answer(lambda _: ending("why\nand where"), chunks, content_type=content_type)
    assert events(got, content_type) == ["why", "and where", *(line["event"] for line in LOG)]
    assert b"content-length" not in headers


@pytest.mark.parametrize(("content_type", "make"), [(JSON, as_document), (LINES, as_lines)])
def test_where_no_task_ran_airflows_search_for_its_log_is_left_out_and_lines_stay(
    content_type: bytes, make: Callable[[Sequence[Any]], bytes]
) -> None:
    _, got = answer(lambda _: ending("why", has_started=False), [make(LOG)], content_type=content_type)
    assert events(got, content_type) == ["why", "a line"]


def test_the_lines_of_a_long_log_are_handed_on_as_they_come() -> None:
    _, got = answer(lambda _: ending("why"), [b"not json\n", b'{"event": "x'], content_type=LINES)
    assert got.endswith(b'not json\n{"event": "x')


def unreadable(_: Attempt) -> Ending:
    raise RuntimeError("the database is away")


@pytest.mark.parametrize("read", [lambda _: None, unreadable])
def test_without_a_reason_the_answer_stays_as_it_is(read: Callable[[Attempt], Ending | None]) -> None:
    body = as_document(LOG)
    headers, got = answer(read, [body])
    assert got == body
    assert headers[b"content-length"] == str(len(body)).encode()


@pytest.mark.parametrize(("status", "content_type"), [(403, JSON), (404, JSON), (200, b"text/html")])
def test_an_answer_that_is_no_log_is_not_looked_into(status: int, content_type: bytes) -> None:
    def read(_: Attempt) -> Ending:
        raise AssertionError("nobody may ask")

    assert answer(read, [b"as it is"], status=status, content_type=content_type)[1] == b"as it is"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"content": 3}', b'{"content": [1]}'])
def test_a_document_of_another_shape_is_handed_on(body: bytes) -> None:
    assert answer(lambda _: ending("why", has_started=False), [body])[1] == body


def row(event: str, extra: str | None = None) -> Any:
    return SimpleNamespace(event=event, extra=extra, dttm=NOW)


def texts(rows: Sequence[Any], **when: Any) -> list[str]:
    found = judge(rows, **{"queued_at": NOW, "started_at": None, **when})
    return [words.text for words in found.words] if found else []


def test_our_own_row_says_why_and_airflows_mismatch_does_only_without_it() -> None:
    ours, mismatch = row("hybrid executor: attempt failed", "OOMKilled"), row("state mismatch", "Extra info: gone")
    assert texts([mismatch, ours]) == ["Attempt failed: OOMKilled"]
    assert texts([mismatch, row("running")]) == ["State mismatch: Extra info: gone"]


def test_what_the_scheduler_ended_itself_is_told_in_its_words() -> None:
    rows = [row("stuck in queued reschedule", "again"), row("stuck in queued tries exceeded", "enough")]
    assert texts(rows) == ["Stuck in queued reschedule: again", "Stuck in queued tries exceeded: enough"]


def test_without_any_row_a_task_that_never_ran_is_told_to_have_none() -> None:
    assert texts([]) == [EXPIRED]
    assert texts([row("failed")]) == []
    assert texts([], queued_at=None) == []
    assert texts([], started_at=NOW + timedelta(seconds=1)) == []


@pytest.mark.parametrize(("started", "has_started"), [(None, False), (-5, False), (0, True), (5, True)])
def test_a_start_before_the_queueing_was_that_of_an_earlier_try(started: int | None, has_started: bool) -> None:
    at = None if started is None else NOW + timedelta(seconds=started)
    found = judge([row("hybrid executor: attempt failed")], queued_at=NOW, started_at=at)
    assert found is not None
    assert found.has_started is has_started
    assert found.words[0].text == "Attempt failed: no reason was given"
