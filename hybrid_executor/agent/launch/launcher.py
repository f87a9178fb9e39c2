"""The launcher of one cluster: it takes entries from the launch stream and works on each until it has an outcome.

Promises: it takes no more than it can work on soon. Launches run in parallel, at a pace that all agents share. A launch
that waits (back-off, quota) uses no thread, no token and no room, and blocks no other. Entries of dead agents are taken
over.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from hybrid_executor.agent.data_loss import DataLoss
from hybrid_executor.agent.delayed_pool import DelayedPool
from hybrid_executor.agent.launch.creation import PodCreator
from hybrid_executor.agent.launch.entries import (
    Abandoned,
    Again,
    Claimed,
    Created,
    Dropped,
    Failed,
    HandedOver,
    Launch,
    Outcome,
    Ready,
    Refused,
    Step,
    TakenBack,
    Withdrawn,
)
from hybrid_executor.agent.launch.intake import LaunchIntake
from hybrid_executor.agent.launch.jobs import LaunchJobs
from hybrid_executor.agent.launch.pace import Pace, credit_of
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.launch.preparation import LaunchPreparer
from hybrid_executor.agent.launch.queue import LaunchQueue
from hybrid_executor.agent.launch.recording import Batcher, LaunchRecorder
from hybrid_executor.agent.launch.unread import UnreadLaunches, read_queues
from hybrid_executor.agent.launch.waiting import WaitingLaunches
from hybrid_executor.agent.launch.withdrawal import Withdrawals
from hybrid_executor.agent.removal import PodRef, PodRemover
from hybrid_executor.agent.warm.launches import WarmLaunches
from hybrid_executor.backoff import RECONNECT
from hybrid_executor.complaints import REDIS, REDIS_UNAVAILABLE, Complaints
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KeyMisused, StoreUnavailable
from hybrid_executor.events import StreamId
from hybrid_executor.fairness import Shares
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.names import pod_name
from hybrid_executor.kube.refusal import DEFAULT_PATIENCE_SECONDS
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.store import LaunchEntry, Store

log = logging.getLogger(__name__)

_WAIT_MILLISECONDS = 250
_BATCH = 64
_MOST_HELD = 100_000
_READ_AHEAD = 20_000


class AirflowKubernetesScheduler:
    """Creates and deletes the pods of one cluster.

    :ivar is_paused: set it to take nothing from the stream, and to give back what waits.
    :ivar turned_at: when its thread last came round, in seconds since the epoch; 0 before it started.
    :param agent: this agent's name, unique among all agents.
    :param pods_per_second: rate of creation that all agents share.
    :param most_starting: most pods whose task has not started yet, 0 for an adaptive limit.
    :param patience_seconds: how long to try again after a refusal that may be temporary or permanent.
    :param take_over_seconds: entries that their agent has not renewed for so long are taken over.
    :param on_namespace: called with each namespace in which a pod was created.
    :param data_loss: knows whether Redis lost data lately. :param warm: its warm pods.
    :param shares: of the queues, where more pods wait than may be created.
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
        most_starting: int = 0,
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
        token_seconds: float,
        take_over_seconds: float = 15.0,
        on_namespace: Callable[[str], None] = lambda _: None,
        data_loss: DataLoss,
        metrics: Metrics = SILENT,
        warm: WarmLaunches,
        shares: Shares,
    ) -> None:
        self.cluster, self._instance = cluster, instance
        self.launched, self.turned_at, self.is_paused = 0, 0.0, False
        self._client = client
        self._remover = remover
        self._complaints = complaints
        self._pace = Pace(store, cluster=cluster, pods_per_second=pods_per_second, most_starting=most_starting)
        self._intake = LaunchIntake(
            store.launches(cluster, consumer=agent),
            cluster=cluster,
            take_over_seconds=take_over_seconds,
            accept=self._accept,
        )
        self._room_for = settings.launch_concurrency * 3
        self._free = threading.Event()
        self._pool = DelayedPool(f"launch-{cluster}", threads=settings.launch_concurrency, on_free=self._free.set)
        credit = credit_of(pods_per_second)
        self._unread = UnreadLaunches(shares, credit=credit, ask=partial(read_queues, store))
        self._queue = LaunchQueue(shares, credit=credit)
        self.waiting = self._queue.waiting
        self._is_held_back = False
        self._preparer = LaunchPreparer(
            agent=agent,
            cluster=cluster,
            store=store,
            present=data_loss.present,
            factory=factory,
            token_seconds=token_seconds,
        )
        self._warm = warm
        creator = PodCreator(
            cluster=cluster,
            instance=instance,
            client=client,
            run_pod=self.run_pod_async,
            settings=settings,
            patience_seconds=patience_seconds,
            distrusts_records=lambda: data_loss.is_suspected,
            held_since=lambda: self._intake.held_since,
            metrics=metrics,
        )
        self._withdrawals = Withdrawals(client, remover, agent=agent, instance=instance)
        self._jobs = LaunchJobs(creator, self._warm.hand_over, self._withdrawals, on_namespace=on_namespace)
        self._recorder = LaunchRecorder(store, cluster=cluster, delete_pod=self.delete_pod, metrics=metrics)
        self._outcomes = Batcher(f"outcomes-{cluster}", self._record)
        self._waiting = WaitingLaunches(self._queue, self._preparer, put_note=self._outcomes.put)

    @property
    def in_flight(self) -> int:
        """How many entries are held without an outcome."""
        return len(self._intake)

    @property
    def refusals(self) -> list[dict[str, str | int | float]]:
        """What the cluster refuses now; see :meth:`LaunchQueue.refusals`."""
        return self._queue.refusals(time.monotonic())

    def run_pod_async(self, manifest: Mapping[str, Any], **_: object) -> dict[str, Any]:
        """Create a pod and return it as the API server has it. Safe for several threads.

        :raises KubeError: it was not created, or the answer was lost.
        """
        namespace = manifest.get("metadata", {}).get("namespace") or "default"
        return self._client.create_pod(namespace, manifest)

    def delete_pod(
        self, pod_name: str, namespace: str, *, uid: str = "", on_done: Callable[[], None] | None = None
    ) -> None:
        """Delete a pod with its configured grace, in the background, until it is done.

        :param uid: delete only this very pod, not a later one of the same name. Without it, only a pod of this instance
            is deleted.
        :param on_done: called when the API server has accepted the deletion, or said that there is no such pod.
        """
        instance = "" if uid else self._instance
        self._remover.clean("delete", PodRef(namespace, pod_name, uid), on_done=on_done, instance=instance)

    def patch_pod_executor_done(self, *, pod_name: str, namespace: str) -> None:
        """Mark a pod as finished and kept.

        :raises KubeError: it was not marked.
        """
        self._remover.mark_done(PodRef(namespace, pod_name))

    _make_safe_pod_id = staticmethod(pod_name)

    def pod_ended(self, namespace: str, freed: Collection[str] | None = None) -> None:
        """Let launches that wait for a quota of this namespace try now.

        :param freed: the resources that the pod asked for, ``None`` if that is not known.
        """
        self._queue.hope(namespace, freed, now=time.monotonic())

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop``; then call :meth:`finish`."""
        failures = 0
        while not stop.is_set():
            self.turned_at = time.time()
            try:
                self._turn(stop)
            except (KeyMisused, StoreUnavailable) as error:
                failures += 1
                if isinstance(error, StoreUnavailable):
                    self._complaints.report(REDIS, REDIS_UNAVAILABLE, error)
                else:
                    self._complaints.report(
                        f"launches:{self.cluster}", "No pod of cluster %s starts: %s", self.cluster, error
                    )
                stop.wait(RECONNECT.seconds(failures, jitter=random.random()))
            else:
                # A turn without a write does not show whether Redis is available; the agent's announcements do.
                failures = 0
                self._complaints.settle(f"launches:{self.cluster}", "Pods of cluster %s start again", self.cluster)

    def finish(self, *, seconds: float) -> None:
        """Finish launches for at most ``seconds`` and leave the stream's group: other agents take over the rest."""
        self._pool.close(seconds=seconds)
        self._outcomes.close(seconds=seconds / 5)
        self._intake.leave()

    def _turn(self, stop: threading.Event) -> None:
        now = time.monotonic()
        self._intake.renew_due(now=now)
        if self.is_paused:
            self._give_back()
            self._intake.look_soon()
            self._pace.flush()
            stop.wait(_WAIT_MILLISECONDS / 1000)
            return
        self._intake.take_over_due(now=now, room=self._room)
        room = self._room()
        if room > 0:
            has_work = bool(self._unread) or self._queue.open_count(now) > 0
            self._intake.take(count=room, wait_milliseconds=0 if has_work else _WAIT_MILLISECONDS)
        self._pace.flush()
        self._release(self._read_new(), stop)
        for item in self._waiting.check(time.monotonic()):
            self._hand_on(item)
        if self._room() <= 0:
            self._free.clear()
            self._free.wait(_WAIT_MILLISECONDS / 1000)

    def _give_back(self) -> None:
        """Give back all launches whose pod is not being created now."""
        launches = self._unread.take(len(self._unread)) + self._queue.remove_all()
        if launches:
            self._intake.give_back([launch.entry for launch in launches])

    def _room(self) -> int:
        """How many more entries to take. Launches that are refused now take no room."""
        if len(self._intake) >= _MOST_HELD:
            return 0
        # If the rate is the limit, no other agent is quicker. Fairness needs more entries to see.
        room = self._room_for + (_READ_AHEAD if self._is_held_back else 0)
        return room - self._pool.active - len(self._unread) - self._queue.open_count(time.monotonic())

    def _accept(self, entry: LaunchEntry) -> None:
        if entry.op == "launch":
            self._unread.add(Launch(entry))
        elif entry.op == "withdraw":
            self._withdrawals.start(entry, on_done=lambda: self._intake.acknowledge(entry))
        elif entry.op == "delete" and entry.pod:
            self.delete_pod(entry.pod, entry.namespace, on_done=lambda: self._intake.acknowledge(entry))
        else:
            log.warning("Dropped an entry of the launch stream with an unknown operation: %s", entry.op)
            self._intake.acknowledge(entry)

    def _read_new(self) -> dict[StreamId, Ready]:
        """Build the pods of new launches, put the launches in the queue, and return the pods."""
        batch = self._unread.take(_BATCH)
        try:
            items = self._warm.choose(self._preparer.read_each(batch))
        except StoreUnavailable:
            self._unread.put_back(batch)
            raise
        fresh: dict[StreamId, Ready] = {}
        for launch, item in zip(batch, items, strict=True):
            if isinstance(item, Ready):
                fresh[launch.entry.id] = item
                launch.queue = item.record.queue
                self._queue.add(launch, item.manifest.demand)  # the next check notes what it waits for
            else:
                self._hand_on(item)
        return fresh

    def _release(self, fresh: Mapping[StreamId, Ready], stop: threading.Event) -> None:
        """Create the next launches in turn, as far as pace and rate allow."""
        now = time.monotonic()
        # An agent that was told to drain while it waited for entries gives them back in the next turn.
        wanted = 0 if self.is_paused else min(self._queue.open_count(now), _BATCH, self._room_for - self._pool.active)
        launches = self._queue.take(wanted, now=now)
        if not launches:
            self._is_held_back = False
            return
        going: list[Launch] = []
        try:
            granted, wait_seconds = self._pace.admit(launches)
            going, launches = launches[:granted], launches[granted:]
            self._queue.put_back(launches)
            self._is_held_back = bool(launches)
            known = {id(launch): fresh[launch.entry.id] for launch in going if launch.entry.id in fresh}
            unknown = [launch for launch in going if id(launch) not in known]
            items = self._warm.last_call([*known.values(), *self._preparer.read_each(unknown)])
            announced = self._preparer.announce([item for item in items if isinstance(item, Ready)])
        except (StoreUnavailable, KeyMisused):
            self._queue.put_back(going or launches)
            raise
        for item in [*announced, *(item for item in items if not isinstance(item, Ready))]:
            if isinstance(item, Claimed) and item.is_warm:
                self._pace.leave(item.launch.entry.attempt)  # no pod is created for it
            self._hand_on(item)
        if self._is_held_back and not self._unread:
            stop.wait(min(wait_seconds, _WAIT_MILLISECONDS / 1000))

    def _hand_on(self, item: Step) -> None:
        """Pass a launch on to its next step. Called by the launcher's thread and by those of the pool."""
        launch = item.launch
        if isinstance(item, Ready | Claimed | Withdrawn):
            work = item
            self._pool.submit(lambda: self._hand_on(self._jobs.run(work)))
            return
        if isinstance(item, Abandoned | HandedOver | TakenBack):
            self._queue.settled(launch)  # it may have been tried for others that are refused
        if isinstance(item, Abandoned):
            # Not acknowledged before: if this agent ends, another one deletes it.
            done = partial(self._intake.acknowledge, launch.entry)
            self.delete_pod(item.name, item.namespace, uid=item.uid, on_done=done)
            return
        if isinstance(item, Created | HandedOver | TakenBack):
            if isinstance(item, Created) and self._queue.created(launch, now=time.monotonic()):
                log.info("Namespace %s of cluster %s accepts such pods again", item.namespace, self.cluster)
            self._outcomes.put(item)
            return
        if launch.demand is not None:  # else it was not admitted: its pod exists already, or was not made
            self._pace.leave(launch.entry.attempt)
        if isinstance(item, Refused):
            self._after_refusal(item)
            return
        self._queue.settled(launch)
        if isinstance(item, Again):
            self._waiting.tell(launch, item.note)
            self._pool.submit_after(item.seconds, lambda: self._unread.add(launch))
        elif isinstance(item, Dropped):
            self._intake.acknowledge(launch.entry)
        else:
            self._outcomes.put(item)

    def _after_refusal(self, item: Refused) -> None:
        launch, refusal = item.launch, item.refusal
        wait = self._queue.refused(
            launch, refusal, now=time.monotonic(), jitter=random.random(), keeps=item.failed is None
        )
        namespace = launch.demand.namespace if launch.demand else ""
        if refusal.cause == "quota":
            self._warm.give_way(namespace)
        if wait.is_news:
            log.warning("Some pods wait for namespace %s of cluster %s: %s", namespace, self.cluster, refusal.reason)
        if item.failed is not None:
            self._outcomes.put(item.failed)
        elif wait.is_over:
            words = f"{refusal.reason} It was tried again for {refusal.most_seconds:g} s."
            self._outcomes.put(Failed(launch, item.record, words, "rejected"))
        else:
            self._waiting.tell(launch, wait.note)

    def _record(self, items: list[Outcome | Again]) -> None:
        self._recorder.record_each(items)
        for item in items:
            if not isinstance(item, Again):
                self._intake.drop(item.launch.entry)
                self.launched += isinstance(item, Created) or (isinstance(item, HandedOver) and item.is_warm)
