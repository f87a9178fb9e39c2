"""The node's kubelet and the controllers: they run the API's pods as processes and report their status.

The API calls them for each change. A pod that names another node is not touched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

from hybrid_executor.sandbox.container_runs import ContainerRun
from hybrid_executor.sandbox.history import Change
from hybrid_executor.sandbox.namespaces import NamespaceController
from hybrid_executor.sandbox.objects import PODS, Object, is_being_deleted, name_of, namespace_of
from hybrid_executor.sandbox.pod_status import lost_status
from hybrid_executor.sandbox.pod_worker import PodWorker
from hybrid_executor.sandbox.pods import Deletion, has_ended
from hybrid_executor.sandbox.scheduler import Scheduler
from hybrid_executor.sandbox.services import NodeServices
from hybrid_executor.sandbox.status import not_found

log = logging.getLogger(__name__)


class Kubelet:
    """Runs the pods of one node. Used in the event loop only, from :meth:`open` to :meth:`close`."""

    def __init__(self, services: NodeServices) -> None:
        self._services = services
        self._scheduler = Scheduler(services.cluster, services.pods, services.events, services.node)
        self._namespaces = NamespaceController(services.cluster, services.pods)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Start the container runtime and act on every change from now on."""
        self._loop = asyncio.get_running_loop()
        await self._services.containers.open()
        self._services.cluster.listen(self._on_change)

    async def close(self, *, grace_seconds: float) -> None:
        """End all pods, SIGTERM first and SIGKILL when the grace is over; no process is left afterwards."""
        self._scheduler.is_closed = True
        for worker in list(self._workers.values()):
            worker.evict("The node was shut down", grace_seconds=grace_seconds)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds + 1)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._services.containers.close()

    def find_run(self, pod: Object, container: str) -> ContainerRun | None:
        """Return a container of a pod that this node runs, ``None`` where it does not."""
        worker = self._workers.get(pod["metadata"]["uid"])
        return worker.find_run(container) if worker is not None else None

    def oom_kill(self, namespace: str, name: str, *, container: str = "") -> None:
        """Kill a container of a running pod as the kernel's out-of-memory killer does.

        :raises StatusError: 404, no such pod runs.
        """
        self._worker_of(namespace, name).kill_for_memory(container)

    def evict(self, namespace: str, name: str, *, message: str) -> None:
        """Evict a pod for lack of something on the node; it stays behind as Failed, with reason Evicted.

        :raises StatusError: 404, no such pod runs.
        """
        self._worker_of(namespace, name).evict(message)

    def lose_node(self) -> None:
        """Lose the node with all its pods, as when its power fails and the cluster gives it up.

        The processes are gone at once; the pods turn Failed with reason NodeLost and are then removed, as the garbage
        collector does. New pods wait, unschedulable, until :meth:`recover_node`.
        """
        self._scheduler.is_node_lost = True
        for worker in list(self._workers.values()):
            worker.abandon()
        for pod in self._services.cluster.select(PODS):
            if self._is_ours(pod) and not has_ended(pod):
                namespace, name = namespace_of(pod), name_of(pod)
                status = lost_status(pod["status"], self._services.node.name, name)
                self._services.pods.set_status(namespace, name, status)
                self._services.pods.delete(namespace, name, Deletion(grace_seconds=0))

    def recover_node(self) -> None:
        """Bring the node back, empty."""
        self._scheduler.is_node_lost = False
        self._scheduler.schedule()

    def _on_change(self, change: Change) -> None:
        if self._loop is not None:
            self._loop.call_soon(self._handle, change)

    def _handle(self, change: Change) -> None:
        self._namespaces.handle(change)
        if change.resource is not PODS:
            return
        uid = change.state["metadata"]["uid"]
        if change.after is None:
            self._forget(uid)
        elif change.before is None:
            self._take(change.after)
        elif self._is_ours(change.after):
            if not self._is_ours(change.before):
                self._start(change.after)
            elif uid in self._workers:
                self._workers[uid].limit(change.after["spec"].get("activeDeadlineSeconds"))
                if is_being_deleted(change.after):
                    self._workers[uid].delete(change.after["metadata"]["deletionGracePeriodSeconds"])
        if change.after is not None and has_ended(change.after) and uid not in self._workers:
            self._scheduler.release(uid)

    def _take(self, pod: Object) -> None:
        if self._is_ours(pod):
            self._scheduler.claim(pod)
            self._start(pod)
        elif not pod["spec"].get("nodeName"):
            self._scheduler.add(pod)

    def _start(self, pod: Object) -> None:
        worker = PodWorker(self._services, pod)
        self._workers[worker.uid] = worker
        self._spawn(self._work(worker))

    def _forget(self, uid: str) -> None:
        """End the processes of a pod that has been removed from the API."""
        worker = self._workers.get(uid)
        if worker is None:
            self._scheduler.release(uid)
            self._services.logs.forget(uid)
        else:
            worker.abandon()

    async def _work(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception:
            log.exception("The sandbox failed to run a pod; the pod stays as it is: uid=%s", worker.uid)
        finally:
            del self._workers[worker.uid]
            self._scheduler.release(worker.uid)
            if worker.is_gone:
                self._services.logs.forget(worker.uid)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _is_ours(self, pod: Object) -> bool:
        return bool(pod["spec"].get("nodeName") == self._services.node.name)

    def _worker_of(self, namespace: str, name: str) -> PodWorker:
        pod = self._services.cluster.get(PODS, namespace, name)
        worker = self._workers.get(pod["metadata"]["uid"])
        if worker is None:
            raise not_found(PODS, name)
        return worker
