"""Scripted faults do to a client what a bad day of a real cluster does."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from hybrid_executor.sandbox.status import StatusError
from tests.contract.sandbox_client import PODS, Json, SandboxClient, until
from tests.faulty_sandbox import Fault, FaultySandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[FaultySandbox]:
    with FaultySandbox() as server:
        yield server


@pytest.fixture
def client(sandbox: FaultySandbox) -> Iterator[SandboxClient]:
    client = SandboxClient(sandbox)
    yield client
    sandbox.faults.clear()
    client.http.delete(PODS, params={"gracePeriodSeconds": 0})
    until(lambda: client.get(PODS)["items"] == [])
    client.close()


def create(client: SandboxClient, name: str = "one") -> httpx.Response:
    body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "base", "image": "x"}]}}
    return client.http.post(PODS, json=body)


def names(client: SandboxClient) -> list[str]:
    return [pod["metadata"]["name"] for pod in client.get(PODS)["items"]]


def test_too_many_requests_is_plain_text_with_a_time_to_wait(client: SandboxClient, sandbox: FaultySandbox) -> None:
    fault = sandbox.faults.fail(429, verb="create", times=2)
    refused = [create(client) for _ in range(2)]
    assert [answer.status_code for answer in refused] == [429, 429]
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].headers["content-type"].startswith("text/plain")
    assert refused[0].text == "Too many requests, please try again later.\n"
    assert create(client).status_code == 201
    assert sandbox.faults.hits(fault) == 2


@pytest.mark.parametrize(
    ("code", "reason"), [(500, "InternalError"), (503, "ServiceUnavailable"), (504, "Timeout"), (410, "Expired")]
)
def test_an_injected_error_is_a_status_of_its_code(
    client: SandboxClient, sandbox: FaultySandbox, code: int, reason: str
) -> None:
    sandbox.faults.fail(code, verb="list")
    answer = client.http.get(PODS)
    assert (answer.status_code, answer.json()["code"], answer.json()["reason"]) == (code, code, reason)


def test_an_error_can_come_as_an_event_of_a_watch(client: SandboxClient, sandbox: FaultySandbox) -> None:
    sandbox.faults.fail(410, verb="watch", as_event=True)
    with client.watch() as events:
        (event,) = events
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


def test_a_dropped_request_has_no_effect(client: SandboxClient, sandbox: FaultySandbox) -> None:
    sandbox.faults.drop(verb="create")
    with pytest.raises(httpx.TransportError):
        create(client)
    assert names(client) == []


def test_a_lost_reply_is_that_of_a_request_which_took_effect(client: SandboxClient, sandbox: FaultySandbox) -> None:
    sandbox.faults.lose_reply(verb="create")
    with pytest.raises(httpx.TransportError):
        create(client)
    assert names(client) == ["one"]
    assert create(client).json()["reason"] == "AlreadyExists"


def test_a_slow_request_is_late_and_right(client: SandboxClient, sandbox: FaultySandbox) -> None:
    sandbox.faults.slow(0.2, verb="list", times=1)
    started = time.monotonic()
    assert names(client) == []
    assert time.monotonic() - started >= 0.2


def test_a_rule_can_be_taken_back(client: SandboxClient, sandbox: FaultySandbox) -> None:
    fault = sandbox.faults.add(Fault("status", code=503, path=r"/pods$"))
    assert client.http.get(PODS).status_code == 503
    sandbox.faults.remove(fault)
    assert client.http.get(PODS).status_code == 200


def test_cut_watches_break_off_without_an_end(client: SandboxClient, sandbox: FaultySandbox) -> None:
    client.create("one", nodeName="elsewhere")
    with client.watch(timeoutSeconds=30) as events:
        assert next(events)["type"] == "ADDED"
        assert sandbox.faults.cut_watches() == 1
        with pytest.raises(httpx.TransportError):
            next(events)
    assert sandbox.faults.cut_watches() == 0


def test_a_stalled_watch_is_silent_and_later_misses_nothing(client: SandboxClient, sandbox: FaultySandbox) -> None:
    client.create("one", nodeName="elsewhere")
    quiet = httpx.Client(base_url=sandbox.url, timeout=0.3, headers={"Authorization": f"Bearer {sandbox.token}"})
    version = client.get(PODS)["metadata"]["resourceVersion"]
    params = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "30"}
    with quiet, client.watch(resourceVersion=version, timeoutSeconds=30) as events:
        sandbox.faults.stall_watches()
        client.create("two", nodeName="elsewhere")
        with quiet.stream("GET", PODS, params=params) as answer, pytest.raises(httpx.ReadTimeout):
            next(answer.iter_lines())
        sandbox.faults.resume_watches()
        assert next(events)["object"]["metadata"]["name"] == "two"


def test_events_can_come_twice_and_again(client: SandboxClient, sandbox: FaultySandbox) -> None:
    def name_of(event: Json) -> tuple[str, str]:
        return event["type"], event["object"]["metadata"]["name"]

    version = client.get(PODS)["metadata"]["resourceVersion"]
    with client.watch(resourceVersion=version, timeoutSeconds=30) as events:
        sandbox.faults.duplicate_events(2)
        client.create("one", nodeName="elsewhere")
        assert [name_of(next(events)) for _ in range(2)] == [("ADDED", "one")] * 2
        sandbox.faults.duplicate_events(1)
        client.create("two", nodeName="elsewhere")
        assert name_of(next(events)) == ("ADDED", "two")
        sandbox.faults.replay_events(2)
        assert [name_of(next(events)) for _ in range(2)] == [("ADDED", "one"), ("ADDED", "two")]


def test_a_restarted_api_refuses_connections_and_comes_back_with_everything(
    client: SandboxClient, sandbox: FaultySandbox
) -> None:
    client.create("kept", "sleep", "1000")
    running = client.wait_for_phase("kept", "Running")
    version = client.get(PODS)["metadata"]["resourceVersion"]
    for down_seconds in (2, 1):
        with client.watch(timeoutSeconds=30) as events:
            next(events)
            began = time.monotonic()
            sandbox.faults.restart(down_seconds)
            with pytest.raises(httpx.TransportError):
                next(events)
        # On a busy machine it may be back before anybody looks.
        until(lambda began=began, down=down_seconds: not answers(sandbox) or time.monotonic() - began > down)
        until(lambda: answers(sandbox))
    assert client.pod("kept") == running
    with client.watch(resourceVersion=version, timeoutSeconds=30) as events:
        client.create("new", nodeName="elsewhere")
        assert next(events)["object"]["metadata"]["name"] == "new"


def answers(sandbox: FaultySandbox) -> bool:
    try:
        return httpx.get(f"{sandbox.url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_only_a_running_pod_can_be_killed(client: SandboxClient, sandbox: FaultySandbox) -> None:
    with pytest.raises(StatusError, match='pods "nope" not found'):
        sandbox.faults.oom_kill("nope")
    client.create("done", "true")
    client.wait_for_phase("done", "Succeeded")
    with pytest.raises(StatusError, match='pods "done" not found'):
        sandbox.faults.evict("done", message="late")
