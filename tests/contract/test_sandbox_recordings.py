"""The sandbox answers as a real kube-apiserver did: 79 recorded exchanges, replayed in order.

What is not compared, and nothing else:

* values that differ from run to run: uids, resource versions, generated names, continue tokens, the server's times;
* ``managedFields``, which the sandbox does not keep;
* of ``/version``, all but major and minor; of an immutable field's refusal, the Go diff after its message;
* how many periodic bookmarks follow each other in a watch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hybrid_executor.sandbox.server import SandboxServer

EXCHANGES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "kube_recordings" / "exchanges.json").read_text())
NAMES = [exchange["name"] for exchange in EXCHANGES]
RUN_DEPENDENT = {"uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "continue"}
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Replay:
    """Sends the recorded requests, with what the recording's server had made up replaced by what this one did."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=20)
        self._token = token
        self._ours: dict[str, str] = {}

    def close(self) -> None:
        self._client.close()

    def send(self, exchange: dict[str, Any]) -> httpx.Response:
        request = exchange["request"]
        headers = dict(request.get("headers") or {})
        if exchange["name"] != "no token":
            headers["Authorization"] = f"Bearer {'wrong' if exchange['name'] == 'wrong token' else self._token}"
        path = re.sub(r"timeoutSeconds=\d+", "timeoutSeconds=1", request["path"])
        for theirs, ours in self._ours.items():
            path = re.sub(rf"(?<=[=/]){re.escape(theirs)}(?=$|[&/?])", ours, path)
        body = request.get("body")
        content = None if body is None else json.dumps(body)
        answer = self._client.request(request["method"], path, headers=headers, content=content)
        if "body" in exchange["response"] and answer.headers.get("content-type") == "application/json":
            self._learn(exchange["response"]["body"], answer.json())
        return answer

    def _learn(self, theirs: Any, ours: Any) -> None:
        if isinstance(theirs, dict) and isinstance(ours, dict):
            for key in theirs.keys() & ours.keys():
                is_made_up = key in {"resourceVersion", "continue"} or (key == "name" and "generateName" in theirs)
                if is_made_up:
                    self._ours[theirs[key]] = ours[key]
                self._learn(theirs[key], ours[key])
        elif isinstance(theirs, list) and isinstance(ours, list):
            for left, right in zip(theirs, ours, strict=False):
                self._learn(left, right)


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, httpx.Response]]:
    with SandboxServer(runs_pods=False) as sandbox:
        replay = Replay(sandbox.url, sandbox.token)
        try:
            yield {exchange["name"]: replay.send(exchange) for exchange in EXCHANGES}
        finally:
            replay.close()


def test_every_recorded_exchange_has_a_name_of_its_own() -> None:
    assert len(set(NAMES)) == len(EXCHANGES) == 79


@pytest.mark.parametrize("exchange", EXCHANGES, ids=NAMES)
def test_the_sandbox_answers_as_the_real_server_did(
    exchange: dict[str, Any], answers: dict[str, httpx.Response]
) -> None:
    recorded, answer = exchange["response"], answers[exchange["name"]]
    assert answer.status_code == recorded["status"], answer.text
    if "Content-Type" in recorded["headers"]:
        assert answer.headers["content-type"] == recorded["headers"]["Content-Type"]
    if recorded["status"] == 200 and "watch" in recorded:
        events = [json.loads(line) for line in answer.text.splitlines()]
        assert _without_repeated_bookmarks(_comparable(events)) == _without_repeated_bookmarks(
            _comparable(recorded["watch"])
        )
    elif exchange["name"] == "version":
        assert {key: answer.json()[key] for key in ("major", "minor")} == {"major": "1", "minor": "36"}
        assert answer.json().keys() == recorded["body"].keys()
    else:
        body = recorded["body"] if "body" in recorded else recorded["watch"][0]
        assert _comparable(answer.json() if answer.content else "") == _comparable(body)


def _comparable(value: Any, key: str = "") -> Any:
    if key in RUN_DEPENDENT and isinstance(value, str):
        return f"<{key}>"
    if isinstance(value, dict):
        kept = {name: _comparable(part, name) for name, part in value.items() if name != "managedFields"}
        if "generateName" in kept:
            kept["name"] = "<generated>"
        return kept
    if isinstance(value, list):
        return [_comparable(part) for part in value]
    if isinstance(value, str) and key == "message":
        shortened = value.partition("\n@@")[0]
        return re.sub(
            r"too old resource version: (\d+) \(\d+\)", r"too old resource version: \1", UID.sub("<uid>", shortened)
        )
    return value


def _without_repeated_bookmarks(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for event in events:
        if not (event["type"] == "BOOKMARK" and kept and kept[-1] == event):
            kept.append(event)
    return kept
