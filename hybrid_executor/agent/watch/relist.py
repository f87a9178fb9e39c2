"""Lists all our pods in one namespace, compares them with the records, and repairs what events have missed.

Promises: a pod that could not be asked for never counts as gone. A pod without a record is left alone while it runs,
and after its end until nobody can be expected to write the record again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hybrid_executor.agent.data_loss import DataLoss
from hybrid_executor.agent.identity import PodIdentity
from hybrid_executor.agent.ownership import Ownership
from hybrid_executor.agent.removal import Cleanup, PodRef, PodRemover
from hybrid_executor.agent.watch.decision import (
    Sighting,
    change_for,
    cleanup_for,
    cleanup_of_superseded,
    note_for,
    sight_safely,
)
from hybrid_executor.agent.watch.events import PodMemory
from hybrid_executor.agent.watch.recording import PodRecorder
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KubeError
from hybrid_executor.events import AttemptId
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.diagnosis import Diagnosis
from hybrid_executor.kube.names import is_of_another
from hybrid_executor.kube.warm_pod import WAITING, warm_state
from hybrid_executor.states import State
from hybrid_executor.store import Attempts, Record

log = logging.getLogger(__name__)

_BATCH = 500
_HAS_POD = frozenset({State.PENDING, State.RUNNING})
T = TypeVar("T")


class Relist:
    """Lists the pods of one namespace (None: of the whole cluster) and repairs their records.

    :param instance: whose pods these are.
    :param on_waiting: called with each pod that waits for an attempt.
    """

    def __init__(
        self,
        *,
        cluster: str,
        instance: str,
        namespace: str | None,
        client: KubeClient,
        selector: str,
        attempts: Attempts,
        recorder: PodRecorder,
        remover: PodRemover,
        settings: KubernetesSettings,
        data_loss: DataLoss,
        ownership: Ownership,
        on_waiting: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        self._cluster = cluster
        self._instance = instance
        self._namespace = namespace
        self._client = client
        self._selector = selector
        self._attempts = attempts
        self._recorder = recorder
        self._remover = remover
        self._settings = settings
        self._data_loss = data_loss
        self._ownership = ownership
        self._on_waiting = on_waiting
        self._place = f"namespace {namespace} of cluster {cluster}" if namespace else f"cluster {cluster}"

    def run(self, memory: PodMemory) -> str:
        """List, repair, and return the list's version, from which a watch misses nothing.

        :raises KubeError: the list, or a request for a single pod, failed; then no pod counts as gone.
        :raises StoreUnavailable: Redis could not be asked.
        """
        expected = self._expected()
        sightings: list[Sighting] = []
        version = ""
        for page in self._client.list_pod_pages(self._namespace, self._selector):
            sightings += [seen for pod in page.items if (seen := self._sight(pod)) is not None]
            for pod in page.items:
                if warm_state(pod) == WAITING:
                    self._on_waiting(pod)
            version = page.resource_version
        listed = {(seen.identity.namespace, seen.identity.name) for seen in sightings}
        count = len(sightings)
        sightings = [own for batch in _batches(sightings) for own in self._ownership.own(batch, place=self._place)]
        if len(sightings) == count:
            self._ownership.settle_clash(self._place)
        unknown: list[PodIdentity] = []
        for batch in _batches(sightings):
            unknown += self._repair(batch)
        self._look_for_missing(expected, listed)
        now = time.monotonic()
        memory.keep_only(seen.identity.uid for seen in sightings)
        for seen in sightings:
            memory.remember(seen, now=now)
        if unknown:
            self._data_loss.suspect()
            log.warning(
                "%s running pods have no record and are left alone; one of them is %s", len(unknown), unknown[0].path
            )
        return version

    def _expected(self) -> dict[AttemptId, ExpectedPod]:
        """Return the pods that a list that begins now has to show."""
        live = list(self._attempts.live("kubernetes"))
        return {
            record.id: ExpectedPod(record.generation, record.namespace, record.pod)
            for batch in _batches(live)
            for record in self._attempts.records(batch)
            if record is not None and expects_pod(record, cluster=self._cluster, namespace=self._namespace)
        }

    def _repair(self, sightings: Sequence[Sighting]) -> list[PodIdentity]:
        """Repair records and remove finished pods; return the pods that run without a record."""
        attempts = list({seen.identity.attempt for seen in sightings})
        records = dict(zip(attempts, self._attempts.records(attempts), strict=True))
        repairs = compare(sightings, records, self._settings)
        if repairs.sightings:
            self._recorder.record(repairs.sightings)
        self._attempts.annotate(repairs.fields)
        for cleanup, pod in repairs.cleanups:
            self._remover.clean(cleanup, pod)
        return repairs.unknown

    def _look_for_missing(self, expected: Mapping[AttemptId, ExpectedPod], listed: Collection[tuple[str, str]]) -> None:
        absent = [attempt for attempt, pod in expected.items() if (pod.namespace, pod.name) not in listed]
        for batch in _batches(absent):
            for attempt, record in zip(batch, self._attempts.records(batch), strict=True):
                if record is not None and is_missing(expected[attempt], record):
                    self._look_for(record)

    def _sight(self, pod: Mapping[str, Any]) -> Sighting | None:
        return sight_safely(pod, fatal_pending_reasons=self._settings.fatal_pending_reasons)

    def _look_for(self, record: Record) -> None:
        """Ask for a pod that the list does not show: the list goes by labels, and people can change labels."""
        try:
            pod = self._client.get_pod(record.namespace, record.pod)
        except KubeError as error:
            if error.status != 404:
                raise
            pod = {}
        if not pod or is_of_another(pod, self._instance):
            sighting: Sighting | None = missing(record)
        else:
            sighting = self._sight(pod)
        if sighting is not None:
            self._recorder.record([sighting])


def _batches(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))


@dataclass
class Repairs:
    """What has to be done after a list.

    :ivar sightings: pods whose diagnosis is not recorded yet.
    :ivar cleanups: finished pods, and what happens to them.
    :ivar fields: record fields that are known from the pod and missing in the record.
    :ivar unknown: pods that run and have no record.
    """

    sightings: list[Sighting] = field(default_factory=list)
    cleanups: list[tuple[Cleanup, PodRef]] = field(default_factory=list)
    fields: dict[AttemptId, dict[str, str]] = field(default_factory=dict)
    unknown: list[PodIdentity] = field(default_factory=list)


def compare(
    sightings: Sequence[Sighting], records: Mapping[AttemptId, Record | None], settings: KubernetesSettings
) -> Repairs:
    """Return what has to be done for listed pods.

    :param records: the records of all listed pods' attempts, read after the list.
    """
    repairs = Repairs()
    for sighting in sightings:
        try:
            _compare_one(sighting, records.get(sighting.identity.attempt), settings, repairs)
        except Exception:
            log.exception("Pod %s cannot be compared with its record; it is left as it is", sighting.identity.path)
    return repairs


@dataclass(frozen=True, slots=True)
class ExpectedPod:
    """A pod that a record named before the list began."""

    generation: int
    namespace: str
    name: str


def is_missing(expected: ExpectedPod, record: Record | None) -> bool:
    """Return whether a pod that the list did not show is missing: its record still names it.

    :param expected: read before the list; pods of later records may be newer than the list.
    :param record: read after the list.
    """
    return (
        record is not None
        and record.state in _HAS_POD
        and ExpectedPod(record.generation, record.namespace, record.pod) == expected
    )


def expects_pod(record: Record, *, cluster: str, namespace: str | None) -> bool:
    """Return whether a list of ``namespace`` (None: all) in ``cluster`` has to show the record's pod."""
    here = record.cluster == cluster and (namespace is None or record.namespace == namespace)
    return here and record.state in _HAS_POD and bool(record.pod)


def identity_of_record(record: Record) -> PodIdentity:
    """Return the identity that the record's pod has or had."""
    return PodIdentity(
        attempt=record.id,
        launch=record.launch,
        moves=record.moves,
        generation=record.generation,
        namespace=record.namespace,
        name=record.pod,
        uid="",
        version="",
    )


def missing(record: Record) -> Sighting:
    """Return the sighting of the record's pod, which does not exist any more."""
    return Sighting(identity_of_record(record), vanished(), is_gone=True, freed=None, is_unseen=True)


def vanished() -> Diagnosis:
    """Return the diagnosis of a pod that is gone without an event: its task may have run."""
    return Diagnosis(
        "failed",
        Category.VANISHED,
        message="nobody watched when it went",
        task_may_have_started=True,
    )


def _compare_one(sighting: Sighting, record: Record | None, settings: KubernetesSettings, repairs: Repairs) -> None:
    identity, diagnosis = sighting.identity, sighting.diagnosis
    pod = PodRef(identity.namespace, identity.name, identity.uid)
    if record is None:
        # The recorder keeps what it has seen until the record is there again.
        repairs.sightings.append(sighting)
        if not diagnosis.is_final:
            repairs.unknown.append(identity)
    elif record.generation > identity.generation or record.state is State.REVOKED:
        repairs.cleanups.append((cleanup_of_superseded(sighting, settings), pod))
    elif record.state.is_terminal:
        cleanup = cleanup_for(sighting, settings) if diagnosis.is_final else cleanup_of_superseded(sighting, settings)
        repairs.cleanups.append((cleanup, pod))
    else:
        _compare_live(sighting, record, settings, repairs)


def _compare_live(sighting: Sighting, record: Record, settings: KubernetesSettings, repairs: Repairs) -> None:
    identity = sighting.identity
    change = change_for(sighting.diagnosis, identity, settings)
    if change is not None and change.to is record.state:
        if change.to is State.LOST:
            pod = PodRef(identity.namespace, identity.name, identity.uid)
            repairs.cleanups.append((cleanup_for(sighting, settings), pod))
        elif (sighting.awaits or sighting.was_warm) and not record.hand_over_pod:
            repairs.sightings.append(sighting)
    elif change is not None:
        repairs.sightings.append(sighting)
    learnt = {} if record.pod else {"pod": identity.name, "namespace": identity.namespace}
    note = note_for(sighting.diagnosis)
    if note and note != record.note:
        learnt["note"] = note
    if learnt:
        repairs.fields[record.id] = learnt
