"""From entries of the launch stream to pods that are ready to be created, by the batch.

Promises: two round trips a batch and one more a step; the record says where its pod will be before anyone asks for the
pod, so whoever looks finds it; what was revoked or launched anew is dropped here; one bad description fails alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hybrid_executor.agent.launch import Again, Dropped, Failed, Launch, Ready
from hybrid_executor.agent.pod_factory import PodFactory
from hybrid_executor.errors import TaskRejected
from hybrid_executor.hiding import hide_secrets, traceback_of
from hybrid_executor.states import State
from hybrid_executor.store import Attempts, Change, EventStream, Record

log = logging.getLogger(__name__)

_SETTLING_PAUSE_SECONDS = 2.0
LAUNCHABLE = (State.SUBMITTED, State.LAUNCHING)

Built = Ready | Again | Dropped | Failed


class LaunchPreparer:
    """Prepares launches of one cluster.

    :param agent: this agent's name, the holder while a pod is being created.
    :param token_seconds: how long a workload may wait.
    """

    def __init__(
        self,
        *,
        agent: str,
        attempts: Attempts,
        events: EventStream,
        factory: PodFactory,
        token_seconds: float,
    ) -> None:
        self._agent = agent
        self._attempts = attempts
        self._events = events
        self._factory = factory
        self._token_seconds = token_seconds

    def read(self, launches: Sequence[Launch]) -> list[Built]:
        """Return the pod of each launch, or what becomes of it where there is none to create; two round trips.

        :raises StoreUnavailable: Redis went away; all may be read again.
        """
        if not launches:
            return []
        unsettled_before = self._events.present().unsettled_before
        workloads = self._attempts.workloads([launch.entry.attempt for launch in launches])
        built: list[Built] = []
        for launch, workload in zip(launches, workloads, strict=True):
            record = workload[0]
            if record is not None and unsettled_before and record.submitted_at <= unsettled_before:
                # Redis may have fallen back to older data: it may have been launched already, and have ended.
                built.append(Again(launch, _SETTLING_PAUSE_SECONDS))
            else:
                built.append(self._read_one(launch, *workload))
        return built

    def check(self, launches: Sequence[Launch]) -> list[Dropped | Failed]:
        """Return those launches that wait in vain, since they were revoked or their workload is void.

        :raises StoreUnavailable: Redis went away.
        """
        suspects = []
        standings = self._attempts.standings([launch.entry.attempt for launch in launches])
        for launch, (state, generation, has_payload) in zip(launches, standings, strict=True):
            if generation != launch.entry.generation or state not in LAUNCHABLE or not has_payload:
                suspects.append(launch)
        items = self.read(suspects) if suspects else []
        return [item for item in items if isinstance(item, Dropped | Failed)]

    def _read_one(self, launch: Launch, record: Record | None, payload: str, overrides: str) -> Built:
        if record is None or record.generation != launch.entry.generation or record.state not in LAUNCHABLE:
            return Dropped(launch)
        if not payload:
            # One that had its pod in time and lost it is no reason to fail: its owner makes a new workload.
            return Failed(launch, record, self._words_of_expiry(launch), "expired", is_lost=record.launches > 0)
        try:
            manifest = self._factory.build(record, payload=payload, overrides=overrides, rename=launch.renames)
        except TaskRejected as error:
            return Failed(launch, record, str(error), "rejected")
        except Exception as error:  # noqa: BLE001 - a bad task fails alone, whatever is wrong with it
            log.error("The pod of %s could not be made; its task fails\n%s", record.name, traceback_of(error))
            words = hide_secrets(f"{type(error).__name__}: {error}")
            return Failed(launch, record, f"The pod could not be made: {words}", "rejected")
        return Ready(launch, record, manifest)

    def announce(self, ready: Sequence[Ready]) -> list[Ready | Dropped]:
        """Write down where pods will be; drop those that are not ours to launch any more.

        :raises StoreUnavailable: Redis went away; all may be announced again.
        """
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
        return [item if claim.is_granted else Dropped(item.launch) for item, claim in zip(ready, claims, strict=True)]

    def _words_of_expiry(self, launch: Launch) -> str:
        words = (
            "The workload is void: it waited for its pod longer than [scheduler] task_queued_timeout "
            f"({self._token_seconds:g} s), or Redis lost it."
        )
        return f"{words} Last answer of the cluster: {launch.last_words}" if launch.last_words else words
