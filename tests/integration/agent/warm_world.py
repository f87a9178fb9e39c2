"""A world with warm pods whose program is a few lines of shell that speak the hand-over's protocol."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.config import Settings
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.kube.warm_pod import CLAIMED, WAITING, warm_state
from hybrid_executor.store import Submission
from tests.faulty_sandbox import Fault
from tests.integration.agent.conftest import World
from tests.waiting import wait_until

# A cold pod is given "python -m ...", a warm one "python -c ...". The shell reads one line and nothing after it.
TEMPLATE = """
apiVersion: v1
kind: Pod
metadata:
  labels: {{version: "{version}"}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - name: base
    image: task:1
    resources: {{requests: {{cpu: 100m, memory: 1Mi}}}}
    command:
    - bash
    - -c
    - |
      payload=$4
      if [ "$1" = -c ]; then
        trap 'exit 97' TERM
        {before_ready}
        echo 'hybrid-executor: ready'
        read -r attempt payload || exit 97
        trap - TERM
        exec </dev/null
        echo "hybrid-executor: accepted $attempt"
      fi
      echo "$HOSTNAME ran $payload" >> {ledger}
      {task}
"""

HAND_OVER_FAULTS = [
    pytest.param(Fault("lose_reply", path="/attach", times=3), id="lost answers"),
    pytest.param(Fault("drop", path="/attach", times=3), id="cut attachments"),
    pytest.param(Fault("lose_reply", verb="patch", times=3), id="lost patches"),
    pytest.param(Fault("status", verb="patch", times=3, code=503), id="busy server"),
    pytest.param(Fault("status", path="/log", times=3, code=500), id="no logs"),
]


class WarmWorld:
    """What a test of warm pods does and sees. The tasks note in a file where each of them ran."""

    def __init__(self, world: World, *, idle: int = 2, most: int = 10, **warm: Any) -> None:
        self.world = world
        self.options: dict[str, str] = {}
        self.ledger = world.directory / "ledger"
        self.profiles = world.directory / "profiles.yaml"
        self.describe(idle=idle, most=most, **warm)
        self.write_template()

    def write_template(self, *, task: str = "exit 0", version: str = "1", before_ready: str = ":") -> None:
        """Write the pod template: the task's script, and what a warm pod does before it is ready."""
        text = TEMPLATE.format(ledger=self.ledger, task=task, version=version, before_ready=before_ready)
        self.world.template.write_text(text)

    def describe(self, **warm: Any) -> None:
        """Write the profile."""
        self.profiles.write_text(json.dumps({"warm": {"warm": warm}, "plain": {}}))

    def settings(self, **options: str) -> Settings:
        given = {"routes": "plain=kubernetes:plain, *=kubernetes:warm", **self.options, **options}
        return self.world.settings(profiles_file=str(self.profiles), **given)

    def start_agent(self, name: str = "agent-1", **rest: Any) -> Any:
        return self.world.start_agent(name, settings=self.settings(), **rest)

    def submit(
        self, *, count: int = 1, profile: str = "warm", overrides: str = "", attempt: AttemptId | None = None
    ) -> list[AttemptId]:
        """Submit attempts whose tasks note their attempt in the ledger.

        :param attempt: submit this one, not new ones.
        """
        attempts = [attempt] if attempt else [AttemptId(str(uuid.uuid4())) for _ in range(count)]
        about: dict[str, str | int] = {"dag_id": "dag", "task_id": "task", "run_id": "run", "try_number": 1}
        self.world.store.attempts.submit(
            [
                Submission(
                    attempt=attempt,
                    owner=OwnerId("1"),
                    pool="kubernetes",
                    fields={**about, "kind": "task", "queue": "q", "cluster": "default", "profile": profile},
                    payload=json.dumps({"token": f"token-of-{attempt}"}),
                    overrides=overrides,
                    cluster="default",
                )
                for attempt in attempts
            ]
        )
        return attempts

    def ran(self) -> dict[str, list[str]]:
        """Return the pods that each attempt has run in."""
        found: dict[str, list[str]] = {}
        for line in self.ledger.read_text().splitlines() if self.ledger.exists() else ():
            pod, _, payload = line.partition(" ran ")
            token: str = json.loads(payload)["token"]
            found.setdefault(token.removeprefix("token-of-"), []).append(pod)
        return found

    def pods(self, state: str = WAITING) -> list[dict[str, Any]]:
        return [pod for pod in self.world.pods() if warm_state(pod) == state]

    def names(self, state: str = WAITING) -> set[str]:
        return {pod["metadata"]["name"] for pod in self.pods(state)}

    def ready(self) -> set[str]:
        """Return the pods that attempts may get."""
        client = self.world.store.client
        found: set[str] = set()
        for key in client.keys("*warm-ready:*"):
            found |= {str(member).partition("/")[2] for member in client.zrange(str(key), 0, -1)}
        return found

    def wait_for_ready(self, count: int) -> set[str]:
        """Wait until exactly so many pods may be given to attempts; return their names."""
        wait_until(
            lambda: len(self.ready()) == count,
            what=lambda: f"{count} ready pods: {self.ready()} of {self.names()}, claimed {self.names(CLAIMED)}",
        )
        return self.ready()

    def check_once(self, attempts: list[AttemptId]) -> None:
        """Each attempt has run exactly once, and no pod has run two."""
        ran = self.ran()
        assert {attempt: len(ran.get(attempt, ())) for attempt in attempts} == dict.fromkeys(attempts, 1)
        pods = [pod for pods in ran.values() for pod in pods]
        assert len(pods) == len(set(pods))


Hold = Callable[[], None]


def relist_often(settings: Settings, seconds: float = 1.0) -> Settings:
    return replace(settings, relist_interval_seconds=seconds)


__all__ = ["CLAIMED", "WAITING", "Path", "WarmWorld", "relist_often"]
