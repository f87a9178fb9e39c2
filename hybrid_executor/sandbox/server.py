"""The sandbox: a Kubernetes API on 127.0.0.1 whose pods are real processes of this machine.

Promises: it listens on 127.0.0.1 only and asks for a token. All processes of its pods end with it, even if it is
killed. It leaves no files except a kubeconfig that was asked for. Not emulated: images (every image is this machine
with ``NodeSettings.image_environment``), volumes and mounts, networks, probes, service accounts, managedFields, and
everything else that a task's pod does not need.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn

from hybrid_executor.errors import HybridError
from hybrid_executor.sandbox.api import make_application
from hybrid_executor.sandbox.cluster import HISTORY_LIMIT, Cluster
from hybrid_executor.sandbox.connections import Connections
from hybrid_executor.sandbox.containers import Containers
from hybrid_executor.sandbox.interference import Interference, Parts
from hybrid_executor.sandbox.kubelet import Kubelet
from hybrid_executor.sandbox.listener import LOOPBACK, Listener, bind
from hybrid_executor.sandbox.logs import LogStore
from hybrid_executor.sandbox.node import NodeSettings
from hybrid_executor.sandbox.pod_events import PodEvents
from hybrid_executor.sandbox.pods import Pods
from hybrid_executor.sandbox.services import NodeServices
from hybrid_executor.sandbox.watching import BOOKMARK_SECONDS, WatchSwitch

log = logging.getLogger(__name__)

CONTEXT = "hybrid-sandbox"
START_TIMEOUT_SECONDS = 30.0


class SandboxServer:
    """One sandbox, served from a thread of its own between :meth:`start` and :meth:`stop`.

    :param port: 0 for any free one.
    :param node: what the node has and how its kubelet behaves.
    :param namespaces: namespaces that exist from the start.
    :param runs_pods: False runs no pods and removes no namespaces, for tests that write the status of pods themselves.
    :param bookmark_seconds: how often watches that ask for bookmarks get one.
    :param history_limit: how many changes per resource a watch can go back.
    :param interference: for tests: what happens to requests besides being answered.
    :ivar directory: logs and working directories of the pods; removed at the end. Made by :meth:`start`.
    :ivar token: the bearer token that requests must carry.
    :ivar cluster: the objects; read single ones from any thread, change them in the event loop only.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        node: NodeSettings | None = None,
        namespaces: Iterable[str] = ("default", "kube-system"),
        runs_pods: bool = True,
        bookmark_seconds: float = BOOKMARK_SECONDS,
        history_limit: int = HISTORY_LIMIT,
        interference: Interference | None = None,
    ) -> None:
        self.token = secrets.token_urlsafe(24)
        self.cluster = Cluster(history_limit=history_limit, namespaces=namespaces)
        self.directory = Path()
        self._wanted_port = port
        self._node = node or NodeSettings()
        self._runs_pods = runs_pods
        self._bookmark_seconds = bookmark_seconds
        self._interference = interference or Interference()
        self._port = 0
        self._grace_seconds = 0.0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: Listener | None = None
        self._containers: Containers | None = None

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def runtime_pid(self) -> int:
        """The id of the process that all processes of pods descend from, 0 if no pods are run."""
        return self._containers.runtime_pid if self._containers else 0

    def start(self) -> SandboxServer:
        """Serve; return once requests are answered. A sandbox is started once.

        :raises HybridError: it has been started before.
        :raises OSError: the port is taken.
        """
        if self._thread is not None:
            raise HybridError("a sandbox is started once: make another SandboxServer")
        bound = bind(self._wanted_port)
        self.directory = Path(tempfile.mkdtemp(prefix="hybrid-sandbox-"))
        self._port = bound.getsockname()[1]
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._serve, args=(bound, started), name="hybrid-sandbox", daemon=True)
        self._thread.start()
        started.result(START_TIMEOUT_SECONDS)
        return self

    def stop(self, *, grace_seconds: float = 2.0) -> None:
        """End all pods, SIGTERM first, SIGKILL after the grace, and then the API; may be called again."""
        if self._thread is None or self._loop is None or self._listener is None:
            return
        self._grace_seconds = grace_seconds
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._listener.stop)
        self._thread.join()

    def __enter__(self) -> SandboxServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def kubeconfig(self, *, namespace: str = "default") -> dict[str, Any]:
        """Return a kubeconfig with one context, named :data:`CONTEXT`, for this sandbox."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": CONTEXT, "cluster": {"server": self.url}}],
            "users": [{"name": CONTEXT, "user": {"token": self.token}}],
            "contexts": [
                {
                    "name": CONTEXT,
                    "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": namespace},
                }
            ],
            "current-context": CONTEXT,
        }

    def write_kubeconfig(self, path: Path, *, namespace: str = "default") -> None:
        """Write the kubeconfig to a file that only its owner may read (JSON, which is YAML too).

        Who waits for the file finds all of it.
        """
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self.kubeconfig(namespace=namespace), file, indent=2)
            file.write("\n")
        part.replace(path)

    def call(self, function: Callable[[], Any]) -> Any:
        """Run a function in the event loop and return its result, for changes to the objects from other threads."""
        loop = self._loop
        if loop is None or self._thread is None or not self._thread.is_alive():
            raise HybridError("the sandbox is not running")

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), loop).result()

    def _serve(self, bound: Any, started: concurrent.futures.Future[None]) -> None:
        """The thread: one event loop for the API and the kubelet."""
        factory = uvicorn.Config(CONTEXT, log_config=None).get_loop_factory() or asyncio.new_event_loop
        loop = self._loop = factory()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._run(bound, self.directory, started))
        except Exception as error:
            if started.done():
                log.exception("The sandbox stopped because of an error")
            else:
                started.set_exception(error)
        finally:
            loop.run_until_complete(_cancel_all())
            shutil.rmtree(self.directory, ignore_errors=True)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            loop.close()

    async def _run(self, bound: Any, directory: Path, started: concurrent.futures.Future[None]) -> None:
        pods, logs = Pods(self.cluster), LogStore(directory / "logs")
        switch, connections = WatchSwitch(), Connections()
        self._containers = Containers(directory)
        services = NodeServices(
            cluster=self.cluster,
            pods=pods,
            events=PodEvents(self.cluster),
            containers=self._containers,
            logs=logs,
            node=self._node,
            directory=directory / "pods",
        )
        kubelet = Kubelet(services) if self._runs_pods else None
        self._interference.attach(
            Parts(cluster=self.cluster, switch=switch, connections=connections, kubelet=kubelet, restart=self._restart)
        )
        application = make_application(
            cluster=self.cluster,
            pods=pods,
            logs=logs,
            interference=self._interference,
            connections=connections,
            switch=switch,
            token=self.token,
            bookmark_seconds=self._bookmark_seconds,
            find_run=kubelet.find_run if kubelet else lambda *_: None,
        )
        self._listener = Listener(application, connections, bound)
        if kubelet:
            await kubelet.open()
        serving = asyncio.create_task(self._listener.serve())
        try:
            await self._listener.wait_until_ready()
            started.set_result(None)
            await serving
        finally:
            if kubelet:
                await kubelet.close(grace_seconds=self._grace_seconds)

    def _restart(self, down_seconds: float) -> None:
        if self._listener is not None:
            self._listener.restart(down_seconds)


async def _cancel_all() -> None:
    """Cancel every other task of the loop, e.g. of requests whose connections were cut, and wait for them."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def serve(port: int = 0, kubeconfig: Path | None = None, node: NodeSettings | None = None) -> None:
    """Serve a sandbox until SIGTERM or SIGINT; print where its kubeconfig is and how to use it.

    :param kubeconfig: where to write it, by default into the sandbox's directory; removed at the end.
    :param node: what the node has and how its kubelet behaves.
    """
    wanted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: wanted.set())
    with SandboxServer(port=port, node=node) as sandbox:
        path = kubeconfig or sandbox.directory / "kubeconfig"
        sandbox.write_kubeconfig(path)
        print(f"Sandbox Kubernetes API at {sandbox.url}; use it with: export KUBECONFIG={path}", flush=True)
        try:
            wanted.wait()
        finally:
            path.unlink(missing_ok=True)
