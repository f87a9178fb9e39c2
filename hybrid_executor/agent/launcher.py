"""The launcher of one cluster: takes entries off its launch stream and sees each to its end.

Promises: no more is taken than can be worked on soon; launches run side by side, at the rate that all agents share;
what waits (back-off, quota) holds no thread and keeps nothing else from going on; what dead agents left is taken over.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from hybrid_executor.agent.backoff import RECONNECT
from hybrid_executor.agent.batcher import Batcher
from hybrid_executor.agent.complaints import REDIS, REDIS_AWAY, REDIS_BACK, Complaints
from hybrid_executor.agent.creation import PodCreator
from hybrid_executor.agent.delayed_pool import DelayedPool
from hybrid_executor.agent.deletion import Doomed, PodRemover
from hybrid_executor.agent.held_entries import HeldEntries
from hybrid_executor.agent.launch import Again, Created, Dropped, Failed, Launch, Ready
from hybrid_executor.agent.launch_outcomes import OutcomeRecorder
from hybrid_executor.agent.namespace_gate import NamespaceGate
from hybrid_executor.agent.pod_factory import PodFactory
from hybrid_executor.agent.preparation import LaunchPreparer, Prepared
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.names import done_patch, pod_name
from hybrid_executor.store import LaunchEntry, Store

log = logging.getLogger(__name__)

_WAIT_MILLISECONDS = 250
_BATCH = 64
_PUT_OFF_SECONDS = 30.0
_MOST_HELD = 10_000


class AirflowKubernetesScheduler:
    """Creates and deletes the pods of one cluster.

    :param agent: this agent's name, unique among all agents.
    :param pods_per_second: rate of creation that all agents share.
    :param take_over_seconds: an entry that its agent has not renewed for so long is taken over.
    :param on_namespace: told about each namespace that a pod goes to.
    :param distrusts_records: says whether Redis lost data lately.
    """

    def __init__(
        self,
        *,
        cluster: str,
        agent: str,
        instance: str,
        client: KubeClient,
        store: Store,
        factory: PodFactory,
        settings: KubernetesSettings,
        remover: PodRemover,
        complaints: Complaints,
        pods_per_second: float,
        token_seconds: float,
        take_over_seconds: float = 15.0,
        on_namespace: Callable[[str], None] = lambda _: None,
        distrusts_records: Callable[[], bool] = lambda: False,
    ) -> None:
        self.cluster = cluster
        self.launched = 0
        self._client = client
        self._store = store
        self._remover = remover
        self._complaints = complaints
        self._pods_per_second = pods_per_second
        self._take_over_seconds = take_over_seconds
        self._stream = store.launches(cluster, consumer=agent)
        self._room_for = settings.launch_concurrency * 3
        self._free = threading.Event()
        self._pool = DelayedPool(f"launch-{cluster}", threads=settings.launch_concurrency, on_free=self._free.set)
        self._held = HeldEntries()
        self._waiting: deque[Launch] = deque()
        self._next_take_over = self._next_renewal = 0.0
        gate = NamespaceGate()
        self._preparer = LaunchPreparer(
            agent=agent,
            attempts=store.attempts,
            factory=factory,
            gate=gate,
            token_seconds=token_seconds,
            on_namespace=on_namespace,
        )
        self._creator = PodCreator(
            cluster=cluster,
            instance=instance,
            client=client,
            settings=settings,
            gate=gate,
            distrusts_records=distrusts_records,
        )
        self._recorder = OutcomeRecorder(store.attempts, cluster=cluster, remover=remover)
        self._outcomes = Batcher(f"outcomes-{cluster}", self._record)

    @property
    def in_flight(self) -> int:
        """How many entries are held without an outcome."""
        return len(self._held)

    def run_pod_async(self, manifest: Mapping[str, Any], **_: object) -> dict[str, Any]:
        """Create a pod and return it as the API server has it.

        :raises KubeError: it was not created, or the answer was lost.
        """
        namespace = manifest.get("metadata", {}).get("namespace") or "default"
        return self._client.create_pod(namespace, manifest)

    def delete_pod(self, pod_name: str, namespace: str) -> None:
        """Delete a pod with its configured grace, in the background, until it is done."""
        self._remover.clean("delete", Doomed(namespace, pod_name))

    def patch_pod_executor_done(self, *, pod_name: str, namespace: str) -> None:
        """Mark a pod as finished, seen to and kept.

        :raises KubeError: it was not marked.
        """
        self._client.patch_pod(namespace, pod_name, done_patch())

    @staticmethod
    def _make_safe_pod_id(dag_id: str, task_id: str, attempt_id: str, launch: int = 0) -> str:
        return pod_name(dag_id, task_id, attempt_id, launch)

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop``. Returns when nothing new is taken; see :meth:`finish`."""
        failures = 0
        while not stop.is_set():
            try:
                self._turn(stop)
            except StoreUnavailable as error:
                failures += 1
                self._complaints.report(REDIS, REDIS_AWAY, error)
                stop.wait(RECONNECT.seconds(failures, jitter=random.random()))
            else:
                failures = 0
                self._complaints.settle(REDIS, REDIS_BACK)

    def finish(self, *, seconds: float) -> None:
        """Let launches that are under way end, for at most ``seconds``, and leave the stream's group.

        What has no outcome then is taken over by another agent.
        """
        self._pool.close(seconds=seconds)
        self._outcomes.close(seconds=seconds / 5)
        try:
            self._stream.leave()
        except StoreUnavailable:
            log.warning("Redis is away; the launch stream of cluster %s was not left in good order", self.cluster)

    def _turn(self, stop: threading.Event) -> None:
        now = time.monotonic()
        if now >= self._next_renewal:
            self._stream.renew(self._held.ids())
            self._next_renewal = now + self._take_over_seconds / 3
        if now >= self._next_take_over and self._room > 0:
            self._take_over()
            self._next_take_over = now + self._take_over_seconds / 5
        room = self._room
        if room > 0:
            wait_milliseconds = 0 if self._waiting else _WAIT_MILLISECONDS
            for entry in self._stream.take(count=room, wait_milliseconds=wait_milliseconds):
                self._accept(entry)
        self._release(stop)
        if self._room <= 0:
            self._free.clear()
            self._free.wait(_WAIT_MILLISECONDS / 1000)

    @property
    def _room(self) -> int:
        # Launches that wait for a quota or a back-off take no thread, so they do not keep others from being taken.
        if len(self._held) >= _MOST_HELD:
            return 0
        return self._room_for - self._pool.active - len(self._waiting)

    def _take_over(self) -> None:
        idle_milliseconds = int(self._take_over_seconds * 1000)
        while self._room > 0:
            for entry in self._stream.take_over(idle_milliseconds=idle_milliseconds, count=max(1, self._room)):
                if self._accept(entry):
                    log.info("Took over the %s of attempt %s from another agent", entry.op, entry.attempt)
            if self._stream.take_over_is_complete:
                return

    def _accept(self, entry: LaunchEntry) -> bool:
        if not self._held.add(entry):
            return False
        if entry.op == "launch":
            self._waiting.append(Launch(entry))
        elif entry.op == "delete" and entry.pod:
            doomed = Doomed(entry.namespace, entry.pod)
            self._remover.clean("delete", doomed, on_done=lambda: self._acknowledge(entry))
        else:
            log.warning("Dropped an entry of the launch stream with an unknown operation: %s", entry.op)
            self._acknowledge(entry)
        return True

    def _release(self, stop: threading.Event) -> None:
        """Prepare waiting launches and hand them to the pool, as far as the shared rate allows."""
        wanted = min(len(self._waiting), _BATCH)
        if not wanted:
            return
        granted, wait_seconds = self._store.rates.take(
            self.cluster,
            wanted=wanted,
            per_second=self._pods_per_second,
            capacity=max(1, int(self._pods_per_second)),
        )
        if granted:
            batch = [self._waiting[index] for index in range(granted)]
            prepared = self._prepare(batch)
            for _ in batch:
                self._waiting.popleft()
            for item in prepared:
                self._hand_on(item)
        if granted < wanted:
            stop.wait(min(wait_seconds, _WAIT_MILLISECONDS / 1000))

    def _prepare(self, batch: list[Launch]) -> list[Prepared]:
        """Prepare launches; one that nobody can read (written by a later version?) holds no other back.

        :raises StoreUnavailable: Redis went away; the batch is still waiting.
        """
        try:
            return self._preparer.prepare(batch)
        except StoreUnavailable:
            raise
        except Exception:
            if len(batch) > 1:
                return [item for launch in batch for item in self._prepare([launch])]
            log.exception("The launch of attempt %s cannot be prepared and is put off", batch[0].entry.attempt)
            return [Again(batch[0], _PUT_OFF_SECONDS)]

    def _hand_on(self, item: Prepared | Created) -> None:
        if isinstance(item, Ready):
            ready = item
            self._pool.submit(lambda: self._create(ready))
        elif isinstance(item, Again):
            again = item
            if again.note and again.note != again.launch.note:
                again.launch.note = again.note
                self._outcomes.put(again)
            self._pool.submit_after(again.seconds, lambda: self._waiting.append(again.launch))
        elif isinstance(item, Dropped):
            self._acknowledge(item.launch.entry)
        else:
            self._outcomes.put(item)

    def _create(self, ready: Ready) -> None:
        try:
            outcome = self._creator.create(ready)
        except Exception:
            log.exception("The pod of %s could not be created and is tried again", ready.record.name)
            outcome = Again(ready.launch, _PUT_OFF_SECONDS)
        self._hand_on(outcome)

    def _record(self, items: list[Created | Failed | Again]) -> None:
        try:
            self._recorder.record(items)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("Outcomes of %s launches could not be recorded; their entries are taken again", len(items))
        for item in items:
            if not isinstance(item, Again):
                self._held.drop(item.launch.entry)
                self.launched += isinstance(item, Created)

    def _acknowledge(self, entry: LaunchEntry) -> None:
        try:
            self._stream.acknowledge(entry.id)
        except StoreUnavailable as error:
            # It will be delivered again, and then there is nothing to do a second time.
            log.warning("An entry of the launch stream could not be acknowledged yet: %s", error)
        self._held.drop(entry)
