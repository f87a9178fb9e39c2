"""From entries of the launch stream to pods that are ready to be created, by the batch.

Promises: two round trips a batch; the record says where its pod will be before anyone asks for the pod, so whoever
looks finds it; what was revoked or launched anew is dropped here; one task's bad description fails only that task.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from hybrid_executor.agent.launch import Again, Dropped, Failed, Launch, Ready
from hybrid_executor.agent.namespace_gate import NamespaceGate
from hybrid_executor.agent.pod_factory import PodFactory
from hybrid_executor.errors import TaskRejected
from hybrid_executor.states import State
from hybrid_executor.store import Attempts, Change, Record

log = logging.getLogger(__name__)

LAUNCHABLE = (State.SUBMITTED, State.LAUNCHING)

Prepared = Ready | Again | Dropped | Failed


class LaunchPreparer:
    """Prepares launches of one cluster.

    :param agent: this agent's name, the holder while a pod is being created.
    :param token_seconds: how long a workload may wait.
    :param on_namespace: told about each namespace that a pod goes to.
    """

    def __init__(
        self,
        *,
        agent: str,
        attempts: Attempts,
        factory: PodFactory,
        gate: NamespaceGate,
        token_seconds: float,
        on_namespace: Callable[[str], None],
    ) -> None:
        self._agent = agent
        self._attempts = attempts
        self._factory = factory
        self._gate = gate
        self._token_seconds = token_seconds
        self._on_namespace = on_namespace

    def prepare(self, launches: Sequence[Launch]) -> list[Prepared]:
        """Return what becomes of each launch.

        :raises StoreUnavailable: Redis went away; all may be prepared again.
        """
        now = time.monotonic()
        prepared: list[Prepared] = []
        open_launches = []
        for launch in launches:
            # Asked before anything is read: hundreds may wait for a namespace's quota.
            closed_seconds = self._gate.wait_seconds(launch.namespace, now=now) if launch.namespace else 0.0
            if closed_seconds:
                prepared.append(Again(launch, closed_seconds))
            else:
                open_launches.append(launch)
        workloads = self._attempts.workloads([launch.entry.attempt for launch in open_launches])
        for launch, (record, payload, overrides) in zip(open_launches, workloads, strict=True):
            prepared.append(self._prepare_one(launch, record, payload, overrides))
        return self._announce(prepared)

    def _prepare_one(self, launch: Launch, record: Record | None, payload: str, overrides: str) -> Prepared:
        if record is None or record.generation != launch.entry.generation or record.state not in LAUNCHABLE:
            return Dropped(launch)
        if not payload:
            # One that had its pod in time and lost it is no reason to fail: its owner makes a new workload.
            return Failed(launch, record, self._words_of_expiry(launch), "expired", is_lost=record.launches > 0)
        try:
            manifest = self._factory.build(record, payload=payload, overrides=overrides, rename=launch.renames)
        except TaskRejected as error:
            return Failed(launch, record, str(error), "rejected")
        except Exception as error:
            log.exception("The pod of %s could not be made; its task fails", record.name)
            return Failed(launch, record, f"The pod could not be made: {type(error).__name__}: {error}", "rejected")
        launch.namespace = manifest.namespace
        closed_seconds = self._gate.wait_seconds(manifest.namespace, now=time.monotonic())
        if closed_seconds:
            return Again(launch, closed_seconds, self._gate.reason(manifest.namespace))
        return Ready(launch, record, manifest)

    def _announce(self, prepared: list[Prepared]) -> list[Prepared]:
        """Write down where pods will be; drop those that are not ours to launch any more."""
        ready = [item for item in prepared if isinstance(item, Ready)]
        for namespace in {item.manifest.namespace for item in ready}:
            self._on_namespace(namespace)
        claims = self._attempts.advance_all(
            [
                Change(
                    attempt=item.record.id,
                    to=State.LAUNCHING,
                    generation=item.record.generation,
                    sources=LAUNCHABLE,
                    fields={"pod": item.manifest.name, "namespace": item.manifest.namespace, "holder": self._agent},
                )
                for item in ready
            ]
        )
        refused = {id(item) for item, claim in zip(ready, claims, strict=True) if not claim.is_granted}
        return [Dropped(item.launch) if id(item) in refused else item for item in prepared]

    def _words_of_expiry(self, launch: Launch) -> str:
        words = (
            "The workload is void: it waited for its pod longer than [scheduler] task_queued_timeout "
            f"({self._token_seconds:g} s), or Redis lost it."
        )
        return f"{words} Last answer of the cluster: {launch.last_words}" if launch.last_words else words
