"""A list of pods against the records: what events have missed. Pure.

Promises: nothing that could not be looked at is taken for gone; a pod without a record is left alone while it runs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hybrid_executor.agent.deletion import Doomed
from hybrid_executor.agent.identity import PodIdentity
from hybrid_executor.agent.sighting import Sighting
from hybrid_executor.agent.verdicts import Cleanup, change_for, cleanup_for, cleanup_of_superseded, note_for
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.events import AttemptId
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.diagnosis import Diagnosis
from hybrid_executor.states import State
from hybrid_executor.store import Record

log = logging.getLogger(__name__)

_HAS_POD = frozenset({State.PENDING, State.RUNNING})


@dataclass
class Repairs:
    """What a list asks for.

    :ivar sightings: pods whose diagnosis their record does not show yet.
    :ivar cleanups: pods that are done with, and what becomes of them.
    :ivar fields: record fields that a pod knows and its record does not.
    :ivar unknown: pods that run and have no record.
    """

    sightings: list[Sighting] = field(default_factory=list)
    cleanups: list[tuple[Cleanup, Doomed]] = field(default_factory=list)
    fields: dict[AttemptId, dict[str, str]] = field(default_factory=dict)
    unknown: list[PodIdentity] = field(default_factory=list)


def compare(
    sightings: Sequence[Sighting], records: Mapping[AttemptId, Record | None], settings: KubernetesSettings
) -> Repairs:
    """Return what listed pods ask for.

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
    """A pod that a record spoke of before a list was begun."""

    generation: int
    namespace: str
    name: str


def is_missing(expected: ExpectedPod, record: Record | None) -> bool:
    """Return whether a pod that a list did not show is missing: its record still speaks of it.

    :param expected: from before the list; pods of later records may be younger than the list.
    :param record: read after the list.
    """
    return (
        record is not None
        and record.state in _HAS_POD
        and ExpectedPod(record.generation, record.namespace, record.pod) == expected
    )


def expects_pod(record: Record, *, cluster: str, namespace: str | None) -> bool:
    """Return whether a watch of ``namespace`` (None: all) in ``cluster`` has to know the record's pod."""
    here = record.cluster == cluster and (namespace is None or record.namespace == namespace)
    return here and record.state in _HAS_POD and bool(record.pod)


def identity_of_record(record: Record) -> PodIdentity:
    """Return the identity that the record's pod has or had."""
    return PodIdentity(
        attempt=record.id,
        launch=record.launches,
        generation=record.generation,
        namespace=record.namespace,
        name=record.pod,
        uid="",
        version="",
    )


def vanished() -> Diagnosis:
    """Return the diagnosis of a pod that is gone and that nobody has seen go: its task may have run."""
    return Diagnosis(
        "failed",
        Category.DELETED,
        message="it does not exist any more, and nobody watched when it went",
        task_may_have_started=True,
    )


def _compare_one(sighting: Sighting, record: Record | None, settings: KubernetesSettings, repairs: Repairs) -> None:
    identity, diagnosis = sighting.identity, sighting.diagnosis
    doomed = Doomed(identity.namespace, identity.name, identity.uid)
    if record is None:
        if diagnosis.is_final:
            repairs.cleanups.append((cleanup_for(sighting, settings), doomed))
        else:
            repairs.unknown.append(identity)
    elif record.generation > identity.generation or record.state is State.REVOKED:
        repairs.cleanups.append((cleanup_of_superseded(sighting, settings), doomed))
    elif record.state.is_terminal:
        cleanup = cleanup_for(sighting, settings) if diagnosis.is_final else cleanup_of_superseded(sighting, settings)
        repairs.cleanups.append((cleanup, doomed))
    else:
        _compare_live(sighting, record, settings, repairs)


def _compare_live(sighting: Sighting, record: Record, settings: KubernetesSettings, repairs: Repairs) -> None:
    identity = sighting.identity
    change = change_for(sighting.diagnosis, identity, settings)
    if change is not None and change.to is record.state:
        if change.to is State.LOST:
            doomed = Doomed(identity.namespace, identity.name, identity.uid)
            repairs.cleanups.append((cleanup_for(sighting, settings), doomed))
    elif change is not None:
        repairs.sightings.append(sighting)
    learnt = {} if record.pod else {"pod": identity.name, "namespace": identity.namespace}
    note = note_for(sighting.diagnosis)
    if note and note != record.note:
        learnt["note"] = note
    if learnt:
        repairs.fields[record.id] = learnt
