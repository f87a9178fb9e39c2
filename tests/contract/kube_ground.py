"""Agents at work in a cluster whose pods are some lines of shell that speak the hand-over's protocol.

The image that ``HYBRID_TEST_IMAGE`` names needs a shell only. Pods are kept, so that their logs say what ran in them.
"""

from __future__ import annotations

import json
import os
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hybrid_executor.agent.main import Agent
from hybrid_executor.config import DictConfig, read_settings
from hybrid_executor.errors import KubeError
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.kube.names import instance_selector
from hybrid_executor.states import State
from hybrid_executor.store import Record, RedisSettings, Store, Submission, open_store

from .kube_cluster import Cluster, real, sandbox, until

SCRIPT = """
trap 'exit 97' TERM
echo 'hybrid-executor: ready'
read -r attempt payload || exit 97
trap - TERM
exec </dev/null
echo "hybrid-executor: accepted $attempt"
echo "ran with ${#payload} characters, and then read: $(cat)"
"""
SECRET = "token-of-"
AGENT_LEASE_SECONDS = 2.0


def payload_of(attempt: AttemptId) -> str:
    """Return the workload of an attempt, with a token of its own."""
    return json.dumps({"token": f"{SECRET}{attempt}"})


class Ground:
    """A cluster, a Redis, and what a test does and sees there."""

    def __init__(self, cluster: Cluster, redis_url: str, folder: Path, *, idle: int = 1, **options: str) -> None:
        self.cluster = cluster
        self.folder = folder
        self.instance = f"contract-{uuid.uuid4().hex[:8]}"
        self.store: Store = open_store(RedisSettings(url=redis_url), instance=self.instance)
        profiles = {"warm": {"warm": {"idle": idle, "most": idle}}, "own": {}}
        (folder / "profiles.yaml").write_text(json.dumps(profiles))
        self.write_template()
        self.options = {
            "redis_url": redis_url,
            "instance": self.instance,
            "profiles_file": str(folder / "profiles.yaml"),
            **options,
        }

    def write_template(self, *, version: str = "1") -> None:
        """Write the pod template, which is the same but for a label."""
        container = {"name": "base", "command": ["sh", "-c", SCRIPT]}
        template = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"labels": {"version": version}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
        }
        (self.folder / "template.yaml").write_text(json.dumps(template))

    @contextmanager
    def agent(self) -> Iterator[None]:
        """Run an agent in a thread."""
        settings = read_settings(DictConfig({"hybrid_executor": self.options}))
        repository, _, tag = self.cluster.image.rpartition(":")
        agent = Agent(
            settings=replace(settings, agent_lease_seconds=AGENT_LEASE_SECONDS),
            kubernetes_settings=replace(
                self.cluster.settings,
                namespace=self.cluster.namespace,
                pod_template_file=str(self.folder / "template.yaml"),
                worker_container_repository=repository,
                worker_container_tag=tag,
                delete_worker_pods=False,
            ),
            name="agent-1",
            hook=None,
        )
        stop = threading.Event()
        thread = threading.Thread(target=agent.run, args=(stop,), kwargs={"has_lost_parent": bool})
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def environment(self) -> dict[str, str]:
        """Return the environment of an agent that is a process of its own."""
        repository, _, tag = self.cluster.image.rpartition(":")
        kubernetes = {
            "in_cluster": "False",
            "config_file": self.cluster.settings.config_file,
            "namespace": self.cluster.namespace,
            "pod_template_file": str(self.folder / "template.yaml"),
            "worker_container_repository": repository,
            "worker_container_tag": tag,
            "delete_worker_pods": "False",
        }
        hybrid = {**self.options, "agent_lease": f"{AGENT_LEASE_SECONDS:g}"}
        return {
            **os.environ,
            "AIRFLOW_HOME": str(self.folder / "home"),
            **{f"AIRFLOW__HYBRID_EXECUTOR__{name.upper()}": value for name, value in hybrid.items()},
            **{f"AIRFLOW__KUBERNETES_EXECUTOR__{name.upper()}": value for name, value in kubernetes.items()},
        }

    def submit(self, profile: str, *, again: Record | None = None) -> AttemptId:
        """Submit an attempt, or one that is lost again, as its owner does."""
        attempt = again.id if again else AttemptId(str(uuid.uuid4()))
        about: dict[str, str | int] = {"dag_id": "dag", "task_id": "task", "run_id": "run", "try_number": 1}
        submission = Submission(
            attempt=attempt,
            owner=OwnerId("1"),
            pool="kubernetes",
            fields={**about, "kind": "task", "queue": "q", "cluster": "default", "profile": profile},
            payload=payload_of(attempt),
            expected_generation=again.generation if again else 0,
            cluster="default",
        )
        self.store.attempts.submit([submission])
        return attempt

    def record(self, attempt: AttemptId) -> Record:
        """Return the record of an attempt."""
        [record] = self.store.attempts.records([attempt])
        assert record is not None
        return record

    def wait_for(self, attempt: AttemptId, state: State) -> Record:
        """Wait for a state, and fail at another end."""

        def reached() -> Record | None:
            record = self.record(attempt)
            assert record.state is state or not record.state.is_terminal, record.reason
            return record if record.state is state else None

        found: Record = until(reached, seconds=120)
        return found

    def wait_for_ready(self, count: int = 1) -> set[str]:
        """Wait until exactly so many pods may be given to attempts; return their names."""

        def ready() -> set[str]:
            keys = self.store.client.keys(f"{self.store.keys.prefix}warm-ready:*")
            found = {str(pod) for key in keys for pod in self.store.client.zrange(str(key), 0, -1)}
            return {pod.partition("/")[2] for pod in found}

        until(lambda: len(ready()) == count, seconds=120)
        return ready()

    def pod(self, record: Record) -> dict[str, Any]:
        """Return the pod of a record."""
        return self.cluster.client.get_pod(record.namespace, record.pod)

    def log(self, record: Record) -> str:
        """Return the log of a record's pod."""
        return self.cluster.client.read_pod_log(record.namespace, record.pod, container="base", tail_lines=None)

    def ran(self) -> dict[str, list[str]]:
        """Return the pods in which each attempt has run, as the pods' logs tell."""
        found: dict[str, list[str]] = {}
        client, namespace = self.cluster.client, self.cluster.namespace
        for pod in client.list_pods(namespace, instance_selector(self.instance, with_done=True)).items:
            name = pod["metadata"]["name"]
            try:
                log = client.read_pod_log(namespace, name, container="base", tail_lines=None)
            except KubeError as error:
                if error.status not in (400, 404):
                    raise
                continue
            for attempt in re.findall(r"^hybrid-executor: accepted (\S+)$", log, re.MULTILINE):
                found.setdefault(attempt, []).append(name)
        return found


@contextmanager
def ground(where: str, redis_url: str, folder: Path, **options: Any) -> Iterator[Ground]:
    """Open the sandbox, or the cluster of ``KUBECONFIG``."""
    with sandbox(folder, runs_pods=True) if where == "sandbox" else real(needs_kubelet=True) as cluster:
        opened = Ground(cluster, redis_url, folder, **options)
        try:
            yield opened
        finally:
            opened.store.close()
