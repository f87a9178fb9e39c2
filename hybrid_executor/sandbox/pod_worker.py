"""The life of a pod on its node: pull, init containers, containers, restarts, end.

Only the worker writes the status of a pod that is on the node. It reports through :class:`Pods` what happens to the
containers, and stops when the pod has been removed from the API.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import Sequence
from typing import Any

from hybrid_executor.sandbox.container_runs import ContainerRun, RunSettings
from hybrid_executor.sandbox.deadline import Deadline
from hybrid_executor.sandbox.objects import PODS, Object, name_of, namespace_of, timestamp
from hybrid_executor.sandbox.pod_status import ContainerRecord, Verdict, kubelet_status, unlocated, waiting
from hybrid_executor.sandbox.pods import Deletion
from hybrid_executor.sandbox.services import NodeServices

ENDING_POLL_SECONDS = 60.0
"""A deletion that changes while it runs wakes the worker; this is only how long it sleeps otherwise."""


class PodWorker:
    """Runs one pod. Used in the event loop only."""

    def __init__(self, services: NodeServices, pod: Object) -> None:
        self._services = services
        self._pod = pod
        self._policy: str = pod["spec"]["restartPolicy"]
        self._grace_seconds: int = pod["spec"]["terminationGracePeriodSeconds"]
        self._started_at = timestamp()
        self._directory = services.directory / pod["metadata"]["uid"]
        settings = RunSettings(pod, services, self._directory, publish=self.publish)
        inits = pod["spec"].get("initContainers") or []
        self._inits = [ContainerRun(settings, container, is_init=True) for container in inits]
        waits_for = "PodInitializing" if inits else "ContainerCreating"
        self._mains = [
            ContainerRun(settings, container, is_init=False, waits_for=waits_for)
            for container in pod["spec"]["containers"]
        ]
        self._verdict: Verdict | None = None
        self._is_abandoned = False
        self._deleting = asyncio.Event()
        self._is_final = False
        self._is_overdue = False
        self._deadline = Deadline(pod["spec"].get("activeDeadlineSeconds"))
        self._ending = asyncio.Event()
        self._kill_at = float("inf")

    @property
    def uid(self) -> str:
        """The pod's uid."""
        uid: str = self._pod["metadata"]["uid"]
        return uid

    @property
    def is_gone(self) -> bool:
        """Whether the pod is no longer in the API."""
        return self._current() is None

    async def run(self) -> None:
        """Run the pod to its end; returns once no process of it is left."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self.publish()
        life = asyncio.create_task(self._live())
        try:
            await self._wait_for_end(life)
            if not life.done():
                await self._end_containers()
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            shutil.rmtree(self._directory, ignore_errors=True)
        if not self._is_abandoned:
            await self._finish()

    def limit(self, deadline_seconds: int | None) -> None:
        """Take in that the pod's ``activeDeadlineSeconds`` were changed."""
        self._deadline.set(deadline_seconds)

    def delete(self, grace_seconds: float) -> None:
        """End the pod because its deletion was asked for; asking again can only make it sooner."""
        if not self._deleting.is_set():
            self._deleting.set()
            self._say_killing()
        self._end(grace_seconds)

    def evict(self, message: str, *, grace_seconds: float = 0.0) -> None:
        """End the pod for lack of something on the node; it stays behind as Failed."""
        self._verdict = Verdict("Failed", "Evicted", message)
        self._services.events.write(self._pod, "Evicted", message, kind="Warning")
        self._end(grace_seconds)

    def abandon(self) -> None:
        """End the pod's processes at once and say nothing: the pod is gone from the API, or its node is."""
        self._is_abandoned = True
        self._end(0.0)

    def kill_for_memory(self, container: str = "") -> None:
        """Let the kernel's out-of-memory killer strike a container (default: the first one that runs)."""
        for run in self._running():
            if container in {"", run.record.name}:
                run.kill_for_memory()
                return

    def find_run(self, container: str) -> ContainerRun | None:
        """Return one of the pod's containers, ``None`` where none has that name."""
        return next((run for run in (*self._inits, *self._mains) if run.record.name == container), None)

    def publish(self) -> None:
        """Report the pod's status; nothing happens if the pod is gone or its node is cut off."""
        current = self._current()
        if current is None or self._is_abandoned:
            return
        status = kubelet_status(
            current["status"],
            self._records(),
            ip=self._services.node.ip,
            started_at=self._started_at,
            restart_policy=self._policy,
            verdict=self._verdict if self._is_over() else None,
            is_final=self._is_final or (self._is_over() and self._was_told_to_end),
        )
        self._services.pods.set_status(namespace_of(current), name_of(current), status)

    async def _live(self) -> None:
        """Run init containers one after the other, then all containers, sidecars beside them."""
        await asyncio.sleep(self._services.node.start_delay_seconds)
        sidecars: list[asyncio.Task[int]] = []
        try:
            for run in self._inits:
                if run.record.is_sidecar:
                    sidecars.append(asyncio.create_task(run.run_to_end("Always")))
                    await run.has_started.wait()
                elif await run.run_to_end("Never" if self._policy == "Never" else "OnFailure") != 0:
                    break
            else:
                await self._run_mains()
            await self._end_sidecars(sidecars)
        finally:
            for task in sidecars:
                task.cancel()
            await asyncio.gather(*sidecars, return_exceptions=True)

    async def _run_mains(self) -> None:
        if self._inits:
            for run in self._mains:
                run.record.state = waiting("ContainerCreating")
            self.publish()
        await asyncio.gather(*(run.run_to_end(self._policy) for run in self._mains))

    async def _end_sidecars(self, sidecars: Sequence[asyncio.Task[int]]) -> None:
        """End the sidecars of a pod whose containers have ended."""
        for number, timeout in ((signal.SIGTERM, self._grace_seconds), (signal.SIGKILL, None)):
            for run in self._inits:
                run.is_ending = True
                run.signal(number)
            if sidecars:
                await asyncio.wait(sidecars, timeout=timeout)

    async def _wait_for_end(self, life: asyncio.Task[None]) -> None:
        """Wait until the pod has ended by itself, or shall be ended, or has used up its time."""
        ending = asyncio.create_task(self._ending.wait())
        deadline = asyncio.create_task(self._deadline.wait())
        try:
            done, _ = await asyncio.wait({life, ending, deadline}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()
            deadline.cancel()
        if done == {deadline}:
            self._is_overdue = True
            message = "Pod was active on the node longer than the specified deadline"
            self._verdict = Verdict("Failed", "DeadlineExceeded", message)
            self._end(self._grace_seconds)

    def _end(self, grace_seconds: float) -> None:
        self._kill_at = min(self._kill_at, time.monotonic() + grace_seconds)
        self._ending.set()

    async def _end_containers(self) -> None:
        """SIGTERM now, SIGKILL when the grace is over; return when all containers have ended."""
        for run in [*self._inits, *self._mains]:
            run.is_ending = True
        for run in self._running():
            run.signal(signal.SIGTERM)
        while exits := [run.exit_code for run in self._running() if run.exit_code is not None]:
            self._ending.clear()
            left = self._kill_at - time.monotonic()
            if left <= 0:
                for run in self._running():
                    run.signal(signal.SIGKILL)
                left = ENDING_POLL_SECONDS
            changed = asyncio.create_task(self._ending.wait())
            pending: set[asyncio.Future[Any]] = {changed, *exits}
            await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            for run in self._running():
                run.note_exit()

    async def _finish(self) -> None:
        """Report that the containers have ended, then how the pod has; where deletion was asked for, remove it."""
        if not self._was_told_to_end:
            self.publish()
            await self._hold_back()
        current = self._current()
        if current is None or self._is_abandoned:
            return
        is_deleted = "deletionTimestamp" in current["metadata"]
        if is_deleted and self._verdict is None:
            for record in self._records():
                if record.exit_code is None and not record.container_id:
                    record.state = unlocated()
            codes = [run.record.exit_code for run in self._mains]
            self._verdict = Verdict("Succeeded" if all(code == 0 for code in codes) else "Failed")
        self._is_final = True
        self.publish()
        if is_deleted:
            deletion = Deletion(grace_seconds=0, uid=self.uid)
            self._services.pods.delete(namespace_of(current), name_of(current), deletion)

    async def _hold_back(self) -> None:
        """Wait as long as a kubelet takes to see to the end of a pod; a deletion makes it sooner."""
        deleting = asyncio.create_task(self._deleting.wait())
        await asyncio.wait({deleting}, timeout=self._services.node.final_delay_seconds)
        deleting.cancel()

    @property
    def _was_told_to_end(self) -> bool:
        """Whether the kubelet reports the ends of pod and containers together: their order is that of a recording."""
        return self._deleting.is_set() or self._is_overdue

    def _is_over(self) -> bool:
        return not self._running()

    def _say_killing(self) -> None:
        for run in self._running():
            self._services.events.write(self._pod, "Killing", f"Stopping container {run.record.name}")

    def _running(self) -> list[ContainerRun]:
        return [run for run in (*self._inits, *self._mains) if run.record.is_running]

    def _records(self) -> Sequence[ContainerRecord]:
        return [run.record for run in (*self._inits, *self._mains)]

    def _current(self) -> Object | None:
        """Return the pod as the API has it, None if it is gone (or another one has its name)."""
        found = self._services.cluster.find(PODS, namespace_of(self._pod), name_of(self._pod))
        return found if found is not None and found["metadata"]["uid"] == self.uid else None
