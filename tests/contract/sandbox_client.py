"""A small client of the sandbox for its tests: plain HTTP, so that status codes and bodies can be looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from hybrid_executor.sandbox.server import SandboxServer
from tests.waiting import PATIENCE_SECONDS, wait_until

PODS = "/api/v1/namespaces/default/pods"
WAIT_SECONDS = PATIENCE_SECONDS

Json = dict[str, Any]


class SandboxClient:
    """Talks to one sandbox with its token."""

    def __init__(self, sandbox: SandboxServer) -> None:
        self.sandbox = sandbox
        self.http = httpx.Client(
            base_url=sandbox.url, timeout=WAIT_SECONDS, headers={"Authorization": f"Bearer {sandbox.token}"}
        )

    def close(self) -> None:
        self.http.close()

    def create(self, name: str, *command: str, labels: dict[str, str] | None = None, **spec: Any) -> Json:
        """Create a pod that runs a command in one container, or whatever the spec says."""
        spec.setdefault("restartPolicy", "Never")
        spec.setdefault("containers", [{"name": "base", "image": "x:1", "command": list(command)}])
        body = {"metadata": {"name": name, "labels": labels or {}}, "spec": spec}
        return self.ok(self.http.post(PODS, json=body))

    def post(self, path: str, body: Json) -> Json:
        return self.ok(self.http.post(path, json=body))

    def get(self, path: str, **params: Any) -> Json:
        return self.ok(self.http.get(path, params=params))

    def pod(self, name: str) -> Json:
        return self.get(f"{PODS}/{name}")

    def delete(self, name: str, **params: Any) -> Json:
        return self.ok(self.http.delete(f"{PODS}/{name}", params=params))

    def log(self, name: str, **params: Any) -> str:
        answer = self.http.get(f"{PODS}/{name}/log", params=params)
        answer.raise_for_status()
        return answer.text

    def wait(self, name: str, is_reached: Callable[[Json], bool]) -> Json:
        """Return the pod once it is as wanted."""
        last: list[Json] = []

        def look() -> bool:
            last[:] = [self.pod(name)]
            return is_reached(last[0])

        until(look, lambda: last)
        return last[0]

    def wait_for_phase(self, name: str, phase: str) -> Json:
        return self.wait(name, lambda pod: bool(pod["status"]["phase"] == phase))

    def wait_until_gone(self, name: str) -> None:
        until(lambda: self.http.get(f"{PODS}/{name}").status_code == 404)

    @contextmanager
    def watch(self, path: str = PODS, **params: Any) -> Iterator[Iterator[Json]]:
        """Open a watch; gives its events."""
        headers = params.pop("headers", {})
        with self.http.stream("GET", path, params={"watch": "true", **params}, headers=headers) as answer:
            yield (json.loads(line) for line in answer.iter_lines())

    @staticmethod
    def ok(answer: httpx.Response) -> Json:
        assert answer.is_success, answer.text
        body: Json = answer.json()
        return body


def until(is_reached: Callable[[], bool], describe: Callable[[], object] = lambda: "") -> None:
    """Wait until something holds."""
    wait_until(is_reached, what=describe, every_seconds=0.01)


def terminated(pod: Json, container: str = "base") -> Json:
    """Return the terminated state of a container."""
    statuses = [*pod["status"].get("initContainerStatuses", []), *pod["status"]["containerStatuses"]]
    state: Json = next(entry for entry in statuses if entry["name"] == container)["state"]["terminated"]
    return state


def waiting_reason(pod: Json) -> str:
    """Return why the first container waits, "" if it does not."""
    statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
    return str((statuses[0]["state"].get("waiting") or {}).get("reason", ""))
