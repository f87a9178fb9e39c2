"""The agent that a scheduler starts: it is started again when it dies, and leaves with its scheduler."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.executor import KubernetesExecutor
from hybrid_executor.sandbox.server import SandboxServer
from hybrid_executor.store import Store
from tests.store_view import alive
from tests.waiting import wait_until

MakeExecutor = Callable[..., Any]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    with SandboxServer(runs_pods=False) as server:
        config = tmp_path / "kubeconfig"
        server.write_kubeconfig(config)
        yield {
            "kubernetes_executor__config_file": str(config),
            "kubernetes_executor__in_cluster": "False",
            "hybrid_executor__agent": "child",
        }


def test_an_agent_that_dies_is_started_again_and_leaves_with_its_scheduler(
    make_executor: MakeExecutor, store: Store, cluster: dict[str, str]
) -> None:
    executor = make_executor(cls=KubernetesExecutor, **cluster)
    wait_until(lambda: alive(store, "agent") == {"airflow-1"})

    def pid() -> int:
        return int(store.presence.members("agent")[0].fields["pid"])

    first = pid()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: (executor.heartbeat(), pid() != first)[1])
    second = pid()
    executor.end()
    assert alive(store, "agent") == set()
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)
