"""A list of all our pods in one namespace, compared with the records and repaired: the truth behind the events."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from hybrid_executor.agent.data_loss import DataLoss
from hybrid_executor.agent.deletion import PodRemover
from hybrid_executor.agent.identity import PodIdentity
from hybrid_executor.agent.ownership import Ownership
from hybrid_executor.agent.pod_memory import PodMemory
from hybrid_executor.agent.pod_recorder import PodRecorder
from hybrid_executor.agent.reconcile import (
    ExpectedPod,
    compare,
    expects_pod,
    identity_of_record,
    is_missing,
    vanished,
)
from hybrid_executor.agent.sighting import Sighting, sight_safely
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KubeError
from hybrid_executor.events import AttemptId
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.store import Attempts, Record

log = logging.getLogger(__name__)

_BATCH = 500
T = TypeVar("T")


class NamespaceSurvey:
    """Lists and repairs one namespace, None for the whole cluster."""

    def __init__(
        self,
        *,
        cluster: str,
        namespace: str | None,
        client: KubeClient,
        selector: str,
        attempts: Attempts,
        recorder: PodRecorder,
        remover: PodRemover,
        settings: KubernetesSettings,
        data_loss: DataLoss,
        ownership: Ownership,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._client = client
        self._selector = selector
        self._attempts = attempts
        self._recorder = recorder
        self._remover = remover
        self._settings = settings
        self._data_loss = data_loss
        self._ownership = ownership
        self._place = f"namespace {namespace} of cluster {cluster}" if namespace else f"cluster {cluster}"

    def run(self, memory: PodMemory) -> str:
        """List, repair, and return the list's version, from which a watch misses nothing.

        :raises KubeError: the list, or a look at a single pod, was not possible; nothing is taken for gone then.
        :raises StoreUnavailable: Redis could not be asked.
        """
        expected = self._expected()
        sightings: list[Sighting] = []
        version = ""
        for page in self._client.list_pod_pages(self._namespace, self._selector):
            sightings += [seen for pod in page.items if (seen := self._sight(pod)) is not None]
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
                "%s running pods have no record and are left alone, among them %s", len(unknown), unknown[0].path
            )
        return version

    def _expected(self) -> dict[AttemptId, ExpectedPod]:
        """Return the pods that have to be on a list that begins now."""
        live = list(self._attempts.live("kubernetes"))
        return {
            record.id: ExpectedPod(record.generation, record.namespace, record.pod)
            for batch in _batches(live)
            for record in self._attempts.records(batch)
            if record is not None and expects_pod(record, cluster=self._cluster, namespace=self._namespace)
        }

    def _repair(self, sightings: Sequence[Sighting]) -> list[PodIdentity]:
        """Bring records and pods into line; return the pods that run without a record."""
        attempts = list({seen.identity.attempt for seen in sightings})
        records = dict(zip(attempts, self._attempts.records(attempts), strict=True))
        repairs = compare(sightings, records, self._settings)
        if repairs.sightings:
            self._recorder.record(repairs.sightings)
        self._attempts.annotate(repairs.fields)
        for cleanup, doomed in repairs.cleanups:
            self._remover.clean(cleanup, doomed)
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
        """Ask for a pod that is not on the list: the list shows labels only, and those can be changed."""
        try:
            sighting = self._sight(self._client.get_pod(record.namespace, record.pod))
        except KubeError as error:
            if error.status != 404:
                raise
            sighting = Sighting(identity_of_record(record), vanished(), is_gone=True)
        if sighting is not None:
            self._recorder.record([sighting])


def _batches(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
