"""A list of all our pods in one namespace, compared with the records and repaired: the truth behind the events."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from hybrid_executor.agent.data_loss import DataLoss
from hybrid_executor.agent.deletion import PodRemover
from hybrid_executor.agent.identity import essence, identify
from hybrid_executor.agent.pod_memory import PodMemory
from hybrid_executor.agent.pod_recorder import PodRecorder, Sighting
from hybrid_executor.agent.reconcile import compare, expects_pod, identity_of_record, missing_pods, vanished
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KubeError
from hybrid_executor.events import AttemptId
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.diagnosis import diagnose
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

    def run(self, memory: PodMemory) -> str:
        """List, repair, and return the list's version, from which a watch misses nothing.

        :raises KubeError: the list, or a look at a single pod, was not possible; nothing is taken for gone then.
        :raises StoreUnavailable: Redis could not be asked.
        """
        expected = self._expected()
        listed = self._client.list_pods(self._namespace, self._selector, shape=essence)
        sightings = [sighting for pod in listed.items if (sighting := self._sight(pod)) is not None]
        attempts = {sighting.identity.attempt for sighting in sightings} | set(expected)
        records = dict(self._records(list(attempts)))
        repairs = compare(sightings, records, self._settings)
        for batch in _batches(repairs.sightings):
            self._recorder.record(batch)
        if repairs.fields:
            self._attempts.annotate(repairs.fields)
        for cleanup, doomed in repairs.cleanups:
            self._remover.clean(cleanup, doomed)
        names = {(sighting.identity.namespace, sighting.identity.name) for sighting in sightings}
        for record in missing_pods(expected, names, records):
            self._look_for(record)
        now = time.monotonic()
        memory.keep_only(sighting.identity.uid for sighting in sightings)
        for sighting in sightings:
            memory.remember(sighting.identity, sighting.diagnosis, now=now)
        if repairs.unknown:
            self._data_loss.suspect()
            log.warning(
                "%s running pods have no record and are left alone, %s among them",
                len(repairs.unknown),
                repairs.unknown[0].path,
            )
        return listed.resource_version

    def _expected(self) -> dict[AttemptId, Record]:
        """Return the records whose pod has to be on a list that begins now."""
        live = self._attempts.live("kubernetes")
        return {
            attempt: record
            for attempt, record in self._records(list(live))
            if record is not None and expects_pod(record, cluster=self._cluster, namespace=self._namespace)
        }

    def _records(self, attempts: Sequence[AttemptId]) -> Iterator[tuple[AttemptId, Record | None]]:
        for batch in _batches(attempts):
            yield from zip(batch, self._attempts.records(batch), strict=True)

    def _sight(self, pod: dict[str, object]) -> Sighting | None:
        identity = identify(pod)
        if identity is None:
            return None
        reasons = self._settings.fatal_pending_reasons
        return Sighting(pod, identity, diagnose(pod, event_type="ADDED", fatal_pending_reasons=reasons))

    def _look_for(self, record: Record) -> None:
        """Ask for a pod that is not on the list: the list shows labels only, and those can be changed."""
        try:
            sighting = self._sight(self._client.get_pod(record.namespace, record.pod))
        except KubeError as error:
            if error.status != 404:
                raise
            sighting = Sighting({}, identity_of_record(record), vanished(), is_gone=True)
        if sighting is not None:
            self._recorder.record([sighting])


def _batches(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
