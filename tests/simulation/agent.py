"""One agent process: the real agent with all its parts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest import mock

from hybrid_executor.agent import delayed_pool, main
from hybrid_executor.config import Settings
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.store import Store
from tests.simulation.invariants import INSTANCE
from tests.simulation.kube_network import KubeNetwork
from tests.simulation.network import Network
from tests.simulation.threads import ThreadPool
from tests.simulation.world import Process, World


class NoPulse:
    """In place of the file that a container's health check reads."""

    trouble = ""

    def __init__(self, name: str, *, threads: Mapping[str, float]) -> None:
        pass

    def beat(self) -> None:
        """The agent lives."""

    def end(self) -> None:
        """The agent has ended."""


class AgentProcess:
    """One agent, from its start until it is killed."""

    def __init__(
        self, world: World, process: Process, settings: Settings, kubernetes_settings: KubernetesSettings
    ) -> None:
        self.world = world
        self.process = process
        self.name = f"{process.name}.{process.pid}"
        self._settings = settings
        self._kubernetes_settings = kubernetes_settings
        self.violations: list[str] = []

    def run(self) -> None:
        """Live until the end of the history."""
        try:
            code = main.run_agent(
                settings=self._settings,
                kubernetes_settings=self._kubernetes_settings,
                name=self.name,
                stop=threading.Event(),
            )
        except Exception as error:  # noqa: BLE001 - each is a mistake, and other histories go on
            self.violations.append(f"{self.process.name} ended with {error!r}")
        else:
            self.violations.append(f"{self.process.name} ended with code {code}")


@contextmanager
def connected_agents(world: World, network: Network, kube: KubeNetwork) -> Iterator[None]:
    """Let agents reach the simulated servers."""

    def open_store(*_: Any, **__: Any) -> Store:
        store = Store(network.connect(world.current), instance=INSTANCE)
        store.check_permissions = lambda *_: None  # type: ignore[method-assign]
        return store

    with ExitStack() as stack:
        for module, name, stand_in in (
            (main, "open_configured_store", open_store),
            (main, "connect", lambda *_, **__: kube.connect(world.current)),
            (main, "Pulse", NoPulse),
            (main, "_airflow_version", lambda: "3.2.0"),  # looking for it takes long
            (delayed_pool, "ThreadPoolExecutor", partial(_thread_pool, world)),
        ):
            stack.enter_context(mock.patch.object(module, name, stand_in))
        yield


def _thread_pool(world: World, max_workers: int, **_: object) -> ThreadPool:
    return ThreadPool(world, max_workers)
