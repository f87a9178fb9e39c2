"""One agent process: the real agent with all its parts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest import mock

from hybrid_executor.agent import delayed_pool, main
from hybrid_executor.config import Settings
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import StoreForbidden
from hybrid_executor.store import Store
from tests.simulation.kube_network import KubeNetwork
from tests.simulation.names import INSTANCE
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
    """One agent, from its start until it is killed.

    :param on_end: called when it has ended as it should: it was told to, or Redis refuses it when it starts.
    """

    def __init__(
        self,
        world: World,
        process: Process,
        settings: Settings,
        kubernetes_settings: KubernetesSettings,
        on_end: Callable[[], None],
    ) -> None:
        self.world = world
        self.process = process
        self.name = f"{process.name}.{process.pid}"
        self._settings = settings
        self._kubernetes_settings = kubernetes_settings
        self._on_end = on_end
        self._stop: threading.Event | None = None
        self.violations: list[str] = []

    def stop(self) -> None:
        """Tell it to end."""
        if self._stop is not None:
            self._stop.set()

    def run(self) -> None:
        """Live until the end of the history, or until it is told to end."""
        self._stop = threading.Event()
        is_told = False
        try:
            code = main.run_agent(
                settings=self._settings,
                kubernetes_settings=self._kubernetes_settings,
                name=self.name,
                stop=self._stop,
            )
            is_told = not code and self._stop.is_set()
        except StoreForbidden as error:
            self.world.say(f"ends: {error}", process=self.process)
            is_told = True
        except Exception as error:  # noqa: BLE001 - each is a mistake, and other histories go on
            self.violations.append(f"{self.process.name} ended with {error!r}")
        else:
            if not is_told:
                self.violations.append(f"{self.process.name} ended with code {code}")
        if is_told:
            self._on_end()


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
