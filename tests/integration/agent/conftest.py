"""A world for agents: a real Redis-compatible server and a Kubernetes API whose pods are real processes."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.agent.launch.mutation_hook import Hook
from hybrid_executor.agent.main import Agent
from hybrid_executor.config import DictConfig, Settings, read_settings
from hybrid_executor.config.kubernetes import KubernetesSettings, read_kubernetes_settings
from hybrid_executor.events import STREAM_START, AttemptId, OwnerId
from hybrid_executor.kube.client import KubeClient, connect
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.sandbox.node import NodeSettings
from hybrid_executor.states import State
from hybrid_executor.store import Record, RedisSettings, Restoration, Store, Submission, open_store
from tests.faulty_sandbox import Fault, FaultySandbox
from tests.store_view import launches_length, lease_holder
from tests.waiting import PATIENCE_SECONDS, wait_until

INSTANCE = "airflow"
TEMPLATE = """
apiVersion: v1
kind: Pod
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - name: base
    image: task:1
    command: ["sh", "-c", "exit 0"]
"""


class RunningAgent:
    """An agent on a thread of the test's process."""

    def __init__(self, agent: Agent) -> None:
        self.name = agent.name
        self._stop = threading.Event()
        self._codes: list[int] = []
        self._thread = threading.Thread(target=self._run, args=(agent,), name=agent.name, daemon=True)
        self._thread.start()

    def _run(self, agent: Agent) -> None:
        self._codes.append(agent.run(self._stop, has_lost_parent=lambda: False))

    def stop(self) -> int:
        """Stop it in good order and return its exit code."""
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        return self._codes[0]


class World:
    """What a test does and sees."""

    def __init__(self, redis_url: str, directory: Path, *, node: NodeSettings | None = None) -> None:
        self.redis_url = redis_url
        self.directory = directory
        self.template = directory / "template.yaml"
        self.template.write_text(TEMPLATE)
        self.kubeconfig = directory / "kubeconfig"
        self.sandbox = FaultySandbox(namespaces=("default", "other"), node=node).start()
        self.sandbox.write_kubeconfig(self.kubeconfig)
        self.store: Store = open_store(RedisSettings(url=redis_url), instance=INSTANCE)
        self.kube: KubeClient = connect(self.kubernetes_settings())
        self._agents: list[RunningAgent] = []

    def close(self) -> None:
        self.sandbox.faults.clear()
        self.stop_agents()
        self.kube.close()
        self.store.close()
        self.sandbox.stop(grace_seconds=0.2)

    def stop_agents(self) -> None:
        """Stop all agents that run still."""
        while self._agents:
            self._agents.pop().stop()

    def settings(self, *, relist_seconds: float = 300.0, lease_seconds: float = 2.0, **options: str) -> Settings:
        hybrid = {"redis_url": self.redis_url, "routes": "*=kubernetes", "pod_creation_rate": "1000", **options}
        settings = read_settings(DictConfig({"hybrid_executor": hybrid}))
        return replace(settings, relist_interval_seconds=relist_seconds, agent_lease_seconds=lease_seconds)

    def kubernetes_settings(self, **options: str) -> KubernetesSettings:
        section = {
            "in_cluster": "False",
            "config_file": str(self.kubeconfig),
            "pod_template_file": str(self.template),
            **options,
        }
        return read_kubernetes_settings(DictConfig({"kubernetes_executor": section}))

    def start_agent(
        self,
        name: str = "agent-1",
        *,
        settings: Settings | None = None,
        kubernetes: dict[str, str] | None = None,
        hook: Hook | None = None,
        is_watching: bool = True,
        metrics: Metrics = SILENT,
    ) -> RunningAgent:
        """Start an agent; return once it watches."""
        watched = self.count("watch")
        settings = settings or self.settings()
        agent = RunningAgent(
            Agent(
                settings=settings,
                kubernetes_settings=self.kubernetes_settings(**(kubernetes or {})),
                name=name,
                hook=hook,
                metrics=metrics,
            )
        )
        self._agents.append(agent)
        if is_watching:
            wait_until(lambda: self.watcher() == name and watched(), what="the watch to be open")
        return agent

    def watcher(self, namespace: str = "default") -> str:
        return lease_holder(self.store, f"watch:default:{namespace}")

    def submit(
        self,
        script: str = "exit 0",
        *,
        count: int = 1,
        pod: dict[str, Any] | None = None,
        namespace: str = "",
        store: Store | None = None,
        **fields: str | int,
    ) -> list[AttemptId]:
        """Submit tasks whose pods run ``script``; return their attempts."""
        container = {"name": "base", "command": ["sh", "-c", script]}
        override: dict[str, Any] = pod or {"spec": {"containers": [container]}}
        if namespace:
            override = {**override, "metadata": {"namespace": namespace}}
        attempts = [AttemptId(str(uuid.uuid4())) for _ in range(count)]
        about: dict[str, str | int] = {"dag_id": "dag", "task_id": "task", "run_id": "run", "try_number": 1}
        (store or self.store).attempts.submit(
            [
                Submission(
                    attempt=attempt,
                    owner=OwnerId("1"),
                    pool="kubernetes",
                    fields={**about, "kind": "task", "queue": "q", "cluster": "default", **fields},
                    payload='{"token": "secret-token"}',
                    overrides=json.dumps({"pod": override}),
                    cluster="default",
                )
                for attempt in attempts
            ]
        )
        return attempts

    @property
    def held(self) -> str:
        """A script that runs until :meth:`let_end`, however long it takes until somebody has seen it run."""
        return f"until [ -e {self.directory}/may-end ]; do sleep 0.05; done"

    def let_end(self) -> None:
        """Let all end that is held."""
        (self.directory / "may-end").touch()

    def restore(self, record: Record) -> None:
        """Write a record anew after Redis lost it, as its owner does."""
        self.store.attempts.restore(
            [
                Restoration(
                    attempt=record.id,
                    owner=record.owner,
                    pool="kubernetes",
                    state=record.state,
                    generation=record.generation,
                    fields={"dag_id": "dag", "task_id": "task", "kind": "task", "cluster": "default"},
                )
            ]
        )

    def record(self, attempt: AttemptId) -> Record:
        record = self.store.attempts.records([attempt])[0]
        assert record is not None
        return record

    def records(self, attempts: Sequence[AttemptId]) -> list[Record]:
        return [record for record in self.store.attempts.records(attempts) if record is not None]

    def wait_for(self, state: State, attempts: Sequence[AttemptId], *, seconds: float = 20.0) -> list[Record]:
        """Wait until all attempts are in ``state``."""

        def all_there() -> list[Record] | None:
            records = self.records(attempts)
            reached = len(records) == len(attempts) and all(record.state is state for record in records)
            return records if reached else None

        found: list[Record] = wait_until(all_there, seconds=seconds, what=f"{len(attempts)} attempts {state.value}")
        return found

    def states(self, attempt: AttemptId) -> list[str]:
        """Return the states that an attempt went through, as every scheduler reads them."""
        events = self.store.events.read(STREAM_START, count=100_000).events
        return [event.state for event in events if event.attempt == attempt]

    def pods(self, namespace: str | None = None) -> list[dict[str, Any]]:
        return self.kube.list_pods(namespace, "").items

    def pod_names(self, namespace: str | None = None) -> set[str]:
        return {pod["metadata"]["name"] for pod in self.pods(namespace)}

    def count(self, verb: str, *, path: str = "/pods") -> Callable[[], int]:
        """Return a function that tells how many such requests have come since now."""
        rule = self.sandbox.faults.add(Fault("slow", verb=verb, path=path, delay_seconds=0.0))
        return lambda: self.sandbox.faults.hits(rule)

    def launch_stream_is_empty(self) -> bool:
        return launches_length(self.store, "default") == 0


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> Iterator[World]:
    opened = World(redis_url, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def soon_unexpected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is expected to write the record of a pod again a second after it was missed; usually it is two minutes."""
    monkeypatch.setattr("hybrid_executor.agent.watch.unrecorded.KEPT_SECONDS", 1.0)
