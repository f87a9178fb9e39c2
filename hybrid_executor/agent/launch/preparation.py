"""From entries of the launch stream to pods that are ready to be created, by the batch.

Promises: reading a batch takes two round trips, announcing it one. The record names its pod before the pod is created,
so that anyone can find it. An attempt that was revoked or launched again is dropped. A bad description fails alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from hybrid_executor.agent.launch.entries import (
    LAUNCHABLE,
    Again,
    Claimed,
    Dropped,
    Failed,
    Launch,
    Prepared,
    Ready,
    Withdrawn,
)
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.errors import StoreUnavailable, TaskRejected
from hybrid_executor.hiding import hide_secrets, traceback_of
from hybrid_executor.states import State
from hybrid_executor.store import Change, Epoch, Record, Store

log = logging.getLogger(__name__)

PUT_OFF_SECONDS = 30.0
_SETTLING_PAUSE_SECONDS = 2.0


class LaunchPreparer:
    """Prepares launches of one cluster.

    :param agent: this agent's name, the holder while a pod is being created.
    :param cluster: attempts that are for another one, or for workers, are dropped: their launch is from before a move.
    :param present: asks Redis for its present epoch.
    :param token_seconds: how long a workload may wait.
    """

    def __init__(
        self,
        *,
        agent: str,
        cluster: str,
        store: Store,
        present: Callable[[], Epoch],
        factory: PodFactory,
        token_seconds: float,
    ) -> None:
        self._agent = agent
        self._cluster = cluster
        self._attempts = store.attempts
        self._present = present
        self._server_time = store.view.now
        self._factory = factory
        self._token_seconds = token_seconds

    def read(self, launches: Sequence[Launch]) -> list[Prepared]:
        """Return each launch's pod, or what happens to the launch instead; two round trips.

        :raises StoreUnavailable: Redis unavailable; all may be read again.
        """
        if not launches:
            return []
        unsettled_before = self._present().unsettled_before
        workloads = self._attempts.workloads([launch.entry.attempt for launch in launches])
        built: list[Prepared] = []
        for launch, workload in zip(launches, workloads, strict=True):
            record = workload[0]
            if record is not None and unsettled_before and record.submitted_at <= unsettled_before:
                # Redis may have gone back to older data: the attempt may have been launched before, and have ended.
                built.append(Again(launch, _SETTLING_PAUSE_SECONDS))
            else:
                built.append(self._read_one(launch, *workload))
        return built

    def read_each(self, launches: Sequence[Launch]) -> list[Prepared]:
        """Do what :meth:`read` does. One that cannot be read (written by a later version?) does not block the others.

        :raises StoreUnavailable: Redis unavailable; all may be read again.
        """
        try:
            return self.read(launches)
        except StoreUnavailable:
            raise
        except Exception:
            if len(launches) > 1:
                return [item for launch in launches for item in self.read_each([launch])]
            attempt = launches[0].entry.attempt
            log.exception("The launch of attempt %s cannot be prepared and is tried again later", attempt)
            return [Again(launches[0], PUT_OFF_SECONDS)]

    def check(self, launches: Sequence[Launch]) -> list[Dropped | Failed | Withdrawn]:
        """Return the launches that need not wait: they were revoked, go elsewhere, or their workload has expired.

        :raises StoreUnavailable: Redis unavailable.
        """
        suspects = []
        standings = self._attempts.standings([launch.entry.attempt for launch in launches])
        for launch, (state, generation, leaving, has_payload) in zip(launches, standings, strict=True):
            if generation != launch.entry.generation or state not in LAUNCHABLE or leaving or not has_payload:
                suspects.append(launch)
        items = self.read(suspects) if suspects else []
        return [item for item in items if isinstance(item, Dropped | Failed | Withdrawn)]

    def _read_one(self, launch: Launch, record: Record | None, payload: str, overrides: str) -> Prepared:
        if record is None or record.generation != launch.entry.generation or record.cluster != self._cluster:
            return Dropped(launch)
        if record.state is State.PENDING and (pod := record.hand_over_pod):
            if record.is_handed_over_by_another(launch.entry.id):
                return Dropped(launch)
            return Claimed(launch, record, pod, payload, is_new=False, is_warm=bool(record.warm_pod))
        if record.state not in LAUNCHABLE:
            return Dropped(launch)
        if record.leaving and record.state is State.SUBMITTED:
            return Dropped(launch)  # its owner moves it
        if record.leaving and record.pod:
            return Withdrawn(launch, record)
        # A record that was written again after a loss of data does not name its pod: its owner decides.
        if not payload:
            return self._without_workload(launch, record)
        try:
            manifest = self._factory.build(record, payload=payload, overrides=overrides, rename=launch.renames)
        except TaskRejected as error:
            return Failed(launch, record, str(error), "rejected")
        except Exception as error:  # noqa: BLE001 - a bad task fails alone, whatever is wrong with it
            log.error("The pod of %s could not be made; its task fails\n%s", record.name, traceback_of(error))
            words = hide_secrets(f"{type(error).__name__}: {error}")
            return Failed(launch, record, f"The pod could not be made: {words}", "rejected")
        if self._factory.warm_profile(record) is None:
            return Ready(launch, record, manifest)
        return Ready(launch, record, manifest, self._factory.why_cold(record, overrides=overrides), payload)

    def announce(self, ready: Sequence[Ready]) -> list[Ready | Dropped]:
        """Record the pods' names before they are created; drop attempts that are not ours to launch any more.

        :raises StoreUnavailable: Redis unavailable; all may be announced again.
        """
        now = time.monotonic()
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
        for item in ready:
            item.launch.announced_at = now
        return [item if claim.is_granted else Dropped(item.launch) for item, claim in zip(ready, claims, strict=True)]

    def _without_workload(self, launch: Launch, record: Record) -> Failed:
        """Fail a launch whose workload has expired. Where it cannot have expired, or had a pod in time, it is lost.

        What is lost does not fail: its owner makes a new workload, unless the task has started or ended.

        :raises StoreUnavailable: Redis unavailable.
        """
        age_seconds = (self._server_time() - record.submitted_at) / 1000
        if record.submitted_at and age_seconds < self._token_seconds:
            return Failed(
                launch, record, "Redis lost its workload before its pod was created", "workload_lost", is_lost=True
            )
        words = (
            "The workload has expired: it waited for its pod longer than [scheduler] task_queued_timeout "
            f"({self._token_seconds:g} s)."
        )
        if launch.last_words:
            words += f" Last answer of the cluster: {launch.last_words}"
        return Failed(launch, record, words, "expired", is_lost=record.launch > 0)
