"""Outcomes of launches, and what launches wait for, written to the records in batches by a thread of its own.

Promises: an entry leaves the launch stream in the same step that records its outcome; a pod whose attempt was revoked
or launched again in the meantime is deleted.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from hybrid_executor.agent.launch.entries import LAUNCHABLE, Again, Created, HandedOver, Parked, TakenBack
from hybrid_executor.agent.launch.entries import Outcome as LaunchOutcome
from hybrid_executor.backoff import RECONNECT
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.metrics import table as metric
from hybrid_executor.states import State
from hybrid_executor.store import Change, Claim, LaunchAck, Outcome, Store, Waiter

log = logging.getLogger(__name__)

T = TypeVar("T")
_MOST = 200
_END = None


class DeletePod(Protocol):
    """The launcher's ``delete_pod``."""

    def __call__(self, pod_name: str, namespace: str, *, uid: str) -> None:
        """Delete the pod with this uid, in the background."""


class LaunchRecorder:
    """Records the outcomes of one cluster's launches."""

    def __init__(self, store: Store, *, cluster: str, delete_pod: DeletePod, metrics: Metrics = SILENT) -> None:
        self._attempts = store.attempts
        self._hand_overs = store.hand_overs
        self._metrics = metrics
        self._server_time = store.view.now
        self._cluster = cluster
        self._delete_pod = delete_pod

    def record_each(self, outcomes: Sequence[LaunchOutcome | Again]) -> None:
        """Do what :meth:`record` does. One that cannot be recorded is left out: its entry is taken again.

        :raises StoreUnavailable: Redis unavailable; all may be recorded again.
        """
        try:
            self.record(outcomes)
        except StoreUnavailable:
            raise
        except Exception:
            if len(outcomes) > 1:
                for outcome in outcomes:
                    self.record_each([outcome])
                return
            log.exception("The outcome of a launch could not be recorded; its entry is taken again")

    def record(self, items: Sequence[LaunchOutcome | Again]) -> None:
        """Record outcomes, in their order, and the notes of launches that wait.

        :raises StoreUnavailable: Redis unavailable; all may be recorded again.
        """
        # Notes first: an outcome in the same batch is newer and clears them.
        self._attempts.annotate(
            {item.launch.entry.attempt: {"note": item.note} for item in items if isinstance(item, Again)}
        )
        outcomes = [item for item in items if not isinstance(item, Again)]
        claims = self._attempts.advance_all([self._change(outcome) for outcome in outcomes])
        self._have_handed_over([outcome for outcome in outcomes if isinstance(outcome, Created) and outcome.is_claimed])
        self._count([outcome for outcome in outcomes if isinstance(outcome, Created)])
        for outcome, claim in zip(outcomes, claims, strict=True):
            self._follow_up(outcome, claim)

    def _have_handed_over(self, claimed: Sequence[Created]) -> None:
        """Let an agent find out whether these pods have their workload; no other pod of a launch needs that."""
        if claimed:
            self._hand_overs.due(
                [Waiter(item.record.id, item.record.generation, item.namespace, item.name) for item in claimed]
            )

    def _follow_up(self, outcome: LaunchOutcome, claim: Claim) -> None:
        if isinstance(outcome, Created | HandedOver):
            self._after_creation(outcome, claim)
        elif isinstance(outcome, TakenBack):
            log.info("%s: %s", outcome.record.name, outcome.words)
        elif isinstance(outcome, Parked):
            log.info("%s has no pod on target %s and leaves it", outcome.record.name, outcome.record.target)
        else:
            if outcome.unwanted is not None:
                self._delete(outcome.unwanted)
            if claim.is_granted:
                self._metrics.count(metric.LAUNCHES_FAILED, cluster=self._cluster, category=outcome.category)
                log.info("Launch of %s failed (%s): %s", outcome.record.name, outcome.category, outcome.reason)

    def _change(self, outcome: LaunchOutcome) -> Change:
        record = outcome.record
        acknowledged = LaunchAck(self._cluster, outcome.launch.entry.id)
        if isinstance(outcome, Parked):
            return Change(
                attempt=record.id,
                to=State.SUBMITTED,
                generation=record.generation,
                sources=(State.LAUNCHING,),
                relaunch=True,
                fields={"holder": "", "note": ""},
                ack=acknowledged,
            )
        if isinstance(outcome, TakenBack):
            return Change(
                attempt=record.id,
                to=State.SUBMITTED,
                generation=record.generation,
                sources=(State.PENDING,),
                relaunch=True,
                fields={"holder": "", "note": outcome.words},
                ack=acknowledged,
            )
        if isinstance(outcome, Created | HandedOver):
            found = {"pod": outcome.name, "namespace": outcome.namespace, "holder": outcome.name, "note": ""}
            to, sources = State.PENDING, None
            if isinstance(outcome, HandedOver):
                to, sources = State.RUNNING, (*LAUNCHABLE, State.PENDING)
                found |= {"node": outcome.node, "category": ""}
            generation = record.generation
            return Change(
                attempt=record.id, to=to, generation=generation, sources=sources, fields=found, ack=acknowledged
            )
        return Change(
            attempt=record.id,
            to=State.LOST if outcome.is_lost else State.FAILED,
            generation=record.generation,
            # The watcher may have recorded already that this pod waits or runs.
            sources=outcome.sources if outcome.unwanted is None else None,
            fields={"reason": outcome.reason, "category": outcome.category, "note": ""},
            ack=acknowledged,
        )

    def _after_creation(self, created: Created | HandedOver, claim: Claim) -> None:
        if claim.outcome is Outcome.STALE or claim.state == State.REVOKED:
            log.info("%s was revoked while it was launched: deleting pod %s", created.record.name, created.name)
            self._delete(created)
        elif claim.is_granted:
            was_told = isinstance(created, HandedOver) and not created.is_warm
            how = "in the warm" if isinstance(created, HandedOver) else "as"
            words = "Handed %s over to its%s pod %s/%s" if was_told else "Launched %s %s pod %s/%s"
            log.info(words, created.record.name, "" if was_told else how, created.namespace, created.name)

    def _count(self, created: Sequence[Created]) -> None:
        if not self._metrics.is_on or not created:
            return
        try:
            now = self._server_time()
        except StoreUnavailable:
            now = 0  # the outcomes are recorded, and must not be recorded again
        for item in created:
            self._metrics.count(metric.PODS_CREATED, cluster=self._cluster, kube_namespace=item.namespace)
            if now and item.record.submitted_at:
                seconds = (now - item.record.submitted_at) / 1000
                self._metrics.time(metric.LAUNCH_TIME, seconds, cluster=self._cluster, kube_namespace=item.namespace)

    def _delete(self, created: Created | HandedOver) -> None:
        self._delete_pod(created.name, created.namespace, uid=created.uid)


class Batcher(Generic[T]):
    """Collects items while the last batch is being worked on.

    :param work: does a batch; repeated with the same batch for as long as it raises StoreUnavailable.
    """

    def __init__(self, name: str, work: Callable[[list[T]], None]) -> None:
        self._work = work
        self._items: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand in an item."""
        self._items.put(item)

    def close(self, *, seconds: float) -> None:
        """Work on the items so far, for at most ``seconds``; no item may follow."""
        self._items.put(_END)
        self._thread.join(seconds)
        self._stop.set()

    def _run(self) -> None:
        is_over = False
        while not is_over:
            item = self._items.get()
            batch: list[T] = []
            while item is not _END and item is not None:
                batch.append(item)
                if len(batch) == _MOST or self._items.empty():
                    break
                item = self._items.get()
            is_over = item is _END
            if batch:
                self._do(batch)

    def _do(self, batch: list[T]) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._work(batch)
            except StoreUnavailable:
                failures += 1
                self._stop.wait(RECONNECT.seconds(failures, jitter=random.random()))
            except Exception:
                log.exception("A batch of %s items failed unexpectedly and was dropped", len(batch))
                return
            else:
                return
