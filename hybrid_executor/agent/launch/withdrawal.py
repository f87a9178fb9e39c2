"""Pods that their attempt does not wait for any longer: it goes on to another target of its route.

Promises: only a pod that has not started is deleted, and only if nothing has changed in it since it was looked at. The
record changes when the watcher sees that the pod is gone, or when it is certain that no pod was created. What could not
be done is not tried again here: the owner of the attempt asks again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from hybrid_executor.agent.identity import identify_own
from hybrid_executor.agent.launch.entries import Again, Created, Parked, Withdrawn
from hybrid_executor.agent.removal import PodRemover
from hybrid_executor.agent.watch.decision import sight
from hybrid_executor.errors import KubeError
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.names import is_of_another
from hybrid_executor.kube.warm_pod import CLAIMED, warm_state
from hybrid_executor.store import LaunchEntry

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 2.0
_UNDER_WAY_SECONDS = 60.0
"""The API server ends requests that take longer (its ``--request-timeout``)."""


class Withdrawals:
    """Withdraws the pods of one cluster. Safe for several threads.

    :param agent: this agent's name. :param instance: whose pods these are.
    """

    def __init__(self, client: KubeClient, remover: PodRemover, *, agent: str, instance: str) -> None:
        self._agent = agent
        self._instance = instance
        self._client = client
        self._remover = remover

    def start(self, entry: LaunchEntry, *, on_done: Callable[[], None]) -> None:
        """Withdraw the pod of an entry in the background.

        :param on_done: called when it was tried.
        """

        def work() -> None:
            try:
                self._withdraw(entry)
            except KubeError as error:
                log.info("Pod %s/%s could not be withdrawn now: %s", entry.namespace, entry.pod, error)
            on_done()

        self._remover.run_soon(work)

    def _withdraw(self, entry: LaunchEntry) -> None:
        try:
            pod = self._client.get_pod(entry.namespace, entry.pod)
        except KubeError as error:
            if error.status != 404:
                raise
            return  # the watcher tells its record
        seen = sight(pod)
        if seen is None or (seen.identity.attempt, seen.identity.generation) != (entry.attempt, entry.generation):
            return
        if is_of_another(pod, self._instance):
            return
        if seen.is_terminating or not _waits(pod) or seen.diagnosis.phase != "pending":
            return
        if self._client.delete_pod(entry.namespace, entry.pod, uid=seen.identity.uid, version=seen.identity.version):
            log.info("Deleted pod %s: its attempt goes on to another target", seen.identity.path)

    def look(self, withdrawn: Withdrawn) -> Created | Parked | Again:
        """Find out whether a launch that is not wanted any more has created its pod. KubeErrors are not raised."""
        launch, record = withdrawn.launch, withdrawn.record
        try:
            pod = self._client.get_pod(record.namespace, record.pod)
        except KubeError as error:
            if error.status != 404:
                return Again(launch, _PAUSE_SECONDS, f"Waiting for the cluster: {error}")
            if self._may_be_under_way(withdrawn):
                return Again(launch, _PAUSE_SECONDS, "Waiting until it is certain that its pod was not created")
            return Parked(launch, record)
        identity = identify_own(pod, self._instance)
        if identity is None or (identity.attempt, identity.launch) != (record.id, record.launch):
            return Parked(launch, record)
        return Created(launch, record, identity.namespace, identity.name, identity.uid)

    def _may_be_under_way(self, withdrawn: Withdrawn) -> bool:
        """Return whether a creation without an answer, of this agent or of another, may still reach the API server."""
        launch = withdrawn.launch
        since = launch.unanswered_at
        if since is None and withdrawn.record.holder != self._agent:
            since = launch.accepted_at
        return since is not None and time.monotonic() - since < _UNDER_WAY_SECONDS


def _waits(pod: dict[str, Any]) -> bool:
    """Return whether a pod has not run anything: one that was taken from waiting ones runs already."""
    return warm_state(pod) != CLAIMED and (pod.get("status") or {}).get("phase") in (None, "", "Pending")
