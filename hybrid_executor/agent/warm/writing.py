"""Writes a workload to a pod that this agent has claimed, and finds out whether the pod has accepted it.

The answer may be lost. Then the pod may have accepted the workload, so its log decides. If that does not tell, the pod
is deleted, and the watcher launches the attempt again when it is gone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from hybrid_executor.agent.launch.entries import Abandoned, Again, Claimed, Created, Failed, HandedOver, HandOverResult
from hybrid_executor.agent.warm.tally import WarmTally
from hybrid_executor.backoff import CREATE
from hybrid_executor.complaints import Complaints
from hybrid_executor.errors import KubeError
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.manifest import BASE_CONTAINER
from hybrid_executor.kube.refusal import DEFAULT_PATIENCE_SECONDS
from hybrid_executor.kube.rights import HOW_TO_GRANT_ATTACH
from hybrid_executor.kube.warm_pod import acceptance_in, hand_over_line, is_acceptance
from hybrid_executor.states import State
from hybrid_executor.store import Store

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0
_LOOKS = 6
_LOOK_SECONDS = 0.5
_MOST_FAILURES = 4
_FIRST_BYTES = 65_536


class WorkloadWriter:
    """Writes workloads in one cluster. Safe for several threads.

    :param patience_seconds: how long the right to attach may be missing before a pod of one attempt is given up.
    :param pause: waits for so many seconds.
    """

    def __init__(
        self,
        *,
        cluster: str,
        client: KubeClient,
        store: Store,
        tally: WarmTally,
        complaints: Complaints,
        answer_seconds: float = ANSWER_SECONDS,
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cluster = cluster
        self._client = client
        self._store = store
        self._tally = tally
        self._complaints = complaints
        self._answer_seconds = answer_seconds
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._pause = pause

    def read_log(self, claimed: Claimed) -> str:
        """Return the beginning of the log of a pod's container, "" while it has none.

        :raises KubeError: it could not be asked for.
        """
        try:
            return self._client.read_pod_log(
                claimed.namespace, claimed.name, container=BASE_CONTAINER, tail_lines=None, first_bytes=_FIRST_BYTES
            )
        except KubeError as error:
            if error.status not in (400, 404):
                raise
            return ""

    def give(self, claimed: Claimed, pod: Mapping[str, Any]) -> HandOverResult:
        """Write the workload to a pod that this agent has claimed.

        :raises KubeError: nothing was written, and it may be tried again.
        :raises StoreUnavailable: Redis unavailable; nothing was written.
        """
        if not is_usable(pod):
            return self.abandon(claimed, pod, "it ended before the hand-over")
        if not claimed.payload:
            return self.abandon(claimed, pod, "the workload has expired")
        if not self.is_wanted(claimed):
            return self.abandon(claimed, pod, "the attempt was revoked, or is launched elsewhere")
        attempt = claimed.record.id
        claimed.launch.has_written = True
        try:
            answer = self._client.write_line(
                claimed.namespace,
                claimed.name,
                container=BASE_CONTAINER,
                line=hand_over_line(attempt, claimed.payload),
                is_answer=lambda line: is_acceptance(line, attempt),
                seconds=self._answer_seconds,
            )
        except KubeError as error:
            claimed.launch.has_written = False
            return self._after_refusal(claimed, pod, error)
        if answer.has_come:
            return self._handed_over(claimed, pod)
        return self.settle(claimed, pod, answer.trouble)

    def is_wanted(self, claimed: Claimed) -> bool:
        """Return whether the attempt still waits for this pod.

        :raises StoreUnavailable: Redis unavailable.
        """
        [record] = self._store.attempts.records([claimed.record.id])
        if record is None or (record.state, record.generation) != (State.PENDING, claimed.record.generation):
            return False
        # Each generation has one pod of its own; a record that was written again may not name it.
        return not claimed.is_warm or record.warm_pod == claimed.pod

    def settle(self, claimed: Claimed, pod: Mapping[str, Any], trouble: str) -> HandOverResult:
        """The workload may have been accepted: let the pod's log decide, and delete the pod if it does not tell.

        :raises KubeError: the log could not be read.
        """
        for look in range(_LOOKS):
            if look:
                self._pause(_LOOK_SECONDS)
            if acceptance_in(self.read_log(claimed), claimed.record.id) == "accepted":
                return self._handed_over(claimed, pod)
        return self.abandon(claimed, pod, trouble)

    def abandon(self, claimed: Claimed, pod: Mapping[str, Any], why: str) -> Abandoned:
        """Have the pod deleted; when it is gone, the watcher launches the attempt again."""
        log.warning("Pod %s is deleted, and %s is launched again: %s", claimed.pod, claimed.record.name, why)
        if claimed.is_warm:
            self._tally.miss(claimed.record.profile, "abandoned")
        return Abandoned(claimed.launch, claimed.record, claimed.namespace, claimed.name, _uid_of(pod))

    def _after_refusal(self, claimed: Claimed, pod: Mapping[str, Any], error: KubeError) -> HandOverResult:
        """Nothing was written."""
        if error.status == 403:
            return self._after_denial(claimed, pod, error)
        # A pod that was made for this attempt has nothing else to wait for.
        may_try_again = not claimed.is_warm or claimed.launch.failures < _MOST_FAILURES
        if may_try_again and error.status not in (400, 404):
            raise error
        return self.abandon(claimed, pod, str(error))

    def _after_denial(self, claimed: Claimed, pod: Mapping[str, Any], error: KubeError) -> HandOverResult:
        """The right to attach is missing. A warm pod is given up: its attempt can start in one of its own."""
        what = f"HTTP {error.status} {error.reason}".rstrip()
        if claimed.is_warm:
            self._tally.forbid(claimed.namespace, now=self._clock())
            words = f"Warm pods of namespace %s in cluster %s are not used: {HOW_TO_GRANT_ATTACH}. %s"
            self._complaints.report(self._subject(claimed), words, claimed.namespace, self._cluster, what)
            return self.abandon(claimed, pod, str(error))
        words = f"Pods of namespace %s in cluster %s do not get their workload: {HOW_TO_GRANT_ATTACH}. %s"
        self._complaints.report(self._subject(claimed), words, claimed.namespace, self._cluster, what)
        launch = claimed.launch
        reason = f"An agent may not hand the workload over to its pod: {HOW_TO_GRANT_ATTACH}. {error}"
        if self._clock() - launch.accepted_at < self._patience_seconds:
            launch.failures += 1
            return Again(launch, CREATE.seconds(launch.failures), f"{reason} Tried again every minute or sooner.")
        unwanted = Created(launch, claimed.record, claimed.namespace, claimed.name, _uid_of(pod))
        return Failed(launch, claimed.record, reason, "rejected", unwanted=unwanted)

    def _handed_over(self, claimed: Claimed, pod: Mapping[str, Any]) -> HandedOver:
        again = "Pods of namespace %s in cluster %s get their workload again"
        if claimed.is_warm:
            self._tally.hit(claimed.record.profile, seconds=self._clock() - claimed.launch.accepted_at)
            again = "Warm pods of namespace %s in cluster %s are used again"
        self._complaints.settle(self._subject(claimed), again, claimed.namespace, self._cluster)
        node = str((pod.get("spec") or {}).get("nodeName") or "")
        name, namespace = claimed.name, claimed.namespace
        return HandedOver(
            claimed.launch, claimed.record, namespace, name, _uid_of(pod), node=node, is_warm=claimed.is_warm
        )

    def _subject(self, claimed: Claimed) -> str:
        kind = "attach" if claimed.is_warm else "hand-over"
        return f"{kind}:{self._cluster}:{claimed.namespace}"


def is_usable(pod: Mapping[str, Any]) -> bool:
    """Return whether the pod runs and is not being deleted."""
    is_terminating = (pod.get("metadata") or {}).get("deletionTimestamp") is not None
    return not is_terminating and (pod.get("status") or {}).get("phase") == "Running"


def _uid_of(pod: Mapping[str, Any]) -> str:
    return str((pod.get("metadata") or {}).get("uid") or "")
