"""The hand-over of one workload to a waiting pod, and what follows where an agent died in the middle of one.

The steps, each of which may be the last one that an agent makes:

1. Redis gives the attempt a pod (see ``givewarm.lua``). No agent creates a pod for this launch any more.
2. A patch, which only succeeds on a pod that still waits, gives the pod the labels of the attempt.
3. The record is read again: it must still name this pod, and the launch must not be revoked.
4. The workload is written to the pod's standard input. The pod answers that it has accepted it.
5. The record becomes running, and the entry leaves the launch stream.

After step 1 another agent goes on with step 2. After step 2 it finds a claimed pod: one that has accepted its workload
runs, and any other one is deleted. The watcher launches the attempt again only when that pod is gone. The answer in
step 4 may be lost: then the pod may have accepted the workload, so its log decides, and if that does not tell, the pod
is deleted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from hybrid_executor.agent.identity import ANNOTATION_GENERATION, identify
from hybrid_executor.agent.launch.entries import (
    Abandoned,
    Again,
    Claimed,
    Failed,
    HandedOver,
    HandOverResult,
    TakenBack,
)
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.warm.tally import WarmTally
from hybrid_executor.backoff import CREATE
from hybrid_executor.complaints import Complaints
from hybrid_executor.errors import KubeError, TaskRejected
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.manifest import BASE_CONTAINER
from hybrid_executor.kube.warm_pod import (
    CLAIMED,
    WAITING,
    acceptance_in,
    claim_of,
    claim_patch,
    hand_over_line,
    is_acceptance,
    warm_state,
)
from hybrid_executor.states import State
from hybrid_executor.store import Store

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0
_LOOKS = 6
_LOOK_SECONDS = 0.5
_MOST_FAILURES = 4
_FIRST_BYTES = 65_536


class HandOver:
    """Hands workloads over in one cluster. Safe for several threads.

    :param pause: waits for so many seconds.
    """

    def __init__(
        self,
        *,
        cluster: str,
        client: KubeClient,
        store: Store,
        factory: PodFactory,
        tally: WarmTally,
        complaints: Complaints,
        answer_seconds: float = ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cluster = cluster
        self._client = client
        self._store = store
        self._factory = factory
        self._tally = tally
        self._complaints = complaints
        self._answer_seconds = answer_seconds
        self._clock = clock
        self._pause = pause

    def run(self, claimed: Claimed) -> HandOverResult:
        """Try once to hand a workload over. KubeErrors are returned as a result, not raised.

        :raises StoreUnavailable: Redis unavailable; it may be run again.
        """
        try:
            return self._claim(claimed) if claimed.is_new else self._look(claimed)
        except KubeError as error:
            launch = claimed.launch
            launch.failures += 1
            seconds = CREATE.seconds(launch.failures, retry_after=getattr(error, "retry_after_seconds", 0.0))
            return Again(launch, seconds, f"Waiting for the cluster: {error}")

    def _claim(self, claimed: Claimed) -> HandOverResult:
        """Step 2. A pod that waits no more is looked at."""
        record, namespace, name = claimed.record, claimed.namespace, claimed.name
        try:
            request = self._factory.request(record, payload="", overrides="")
        except TaskRejected as error:
            return Failed(claimed.launch, record, str(error), "rejected", sources=(State.PENDING,))
        annotations = {ANNOTATION_GENERATION: str(record.generation)}
        patch = claim_patch(request, annotations=annotations, claim=claimed.launch.claim)
        try:
            pod = self._client.patch_pod(namespace, name, patch)
        except KubeError as error:
            if error.status == 404 and claimed.is_new:
                return self._take_back(claimed)
            if error.status not in (404, 409, 422):
                raise
            pod = self._client.get_pod(namespace, name) if error.status != 404 else {}
            return self._judge(claimed, pod)
        return self._give(claimed, pod)

    def _look(self, claimed: Claimed) -> HandOverResult:
        """Go on with a hand-over that somebody, perhaps this agent, has begun."""
        try:
            pod = self._client.get_pod(claimed.namespace, claimed.name)
        except KubeError as error:
            if error.status != 404:
                raise
            pod = {}
        if pod and warm_state(pod) == WAITING and _is_usable(pod):
            return self._claim(claimed)
        return self._judge(claimed, pod)

    def _judge(self, claimed: Claimed, pod: Mapping[str, Any]) -> HandOverResult:
        """Return what follows for a pod that does not wait."""
        record = claimed.record
        if not pod:
            words = f"Pod {claimed.pod}, which this attempt was given, does not exist any more: its task may have run."
            return Failed(claimed.launch, record, words, "deleted", is_lost=True, sources=(State.PENDING,))
        identity = identify(pod)
        if warm_state(pod) != CLAIMED or identity is None or identity.attempt != record.id:
            return self._take_back(claimed)
        if claim_of(pod) == claimed.launch.claim and not claimed.launch.has_written:
            return self._give(claimed, pod)
        return self._settle(claimed, pod, "the hand-over was interrupted")

    def _give(self, claimed: Claimed, pod: Mapping[str, Any]) -> HandOverResult:
        """Steps 3 and 4, on a pod that this agent has claimed."""
        if not _is_usable(pod):
            return self._abandon(claimed, pod, "it ended before the hand-over")
        if not claimed.payload:
            return self._abandon(claimed, pod, "the workload has expired")
        [record] = self._store.attempts.records([claimed.record.id])
        is_ours = record is not None and (record.state, record.generation) == (State.PENDING, claimed.record.generation)
        if record is None or not is_ours or record.warm_pod != claimed.pod:
            return self._abandon(claimed, pod, "the attempt was revoked, or is launched elsewhere")
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
        return self._settle(claimed, pod, answer.trouble)

    def _after_refusal(self, claimed: Claimed, pod: Mapping[str, Any], error: KubeError) -> HandOverResult:
        """Nothing was written."""
        if error.status == 403:
            self._tally.forbid(claimed.namespace, now=self._clock())
            self._complaints.report(
                f"attach:{self._cluster}:{claimed.namespace}",
                "Warm pods of namespace %s in cluster %s are not used: grant the agent's account the verbs get and "
                "create on pods/attach. %s",
                claimed.namespace,
                self._cluster,
                f"HTTP {error.status} {error.reason}".rstrip(),
            )
        elif claimed.launch.failures < _MOST_FAILURES and error.status not in (400, 404):
            raise error
        return self._abandon(claimed, pod, str(error))

    def _settle(self, claimed: Claimed, pod: Mapping[str, Any], trouble: str) -> HandOverResult:
        """The workload may have been accepted: let the pod's log decide, and delete the pod if it does not tell."""
        for look in range(_LOOKS):
            if look:
                self._pause(_LOOK_SECONDS)
            try:
                text = self._client.read_pod_log(
                    claimed.namespace, claimed.name, container=BASE_CONTAINER, tail_lines=None, first_bytes=_FIRST_BYTES
                )
            except KubeError as error:
                if error.status not in (400, 404):
                    raise
                break
            if acceptance_in(text, claimed.record.id) == "accepted":
                return self._handed_over(claimed, pod)
        return self._abandon(claimed, pod, trouble)

    def _take_back(self, claimed: Claimed) -> TakenBack:
        """The pod cannot be used, and it never had this attempt's labels: launch the attempt again."""
        self._tally.miss(claimed.record.profile, "gone")
        words = f"Launched again: the waiting pod {claimed.pod} ended before it got the workload."
        return TakenBack(claimed.launch, claimed.record, words)

    def _handed_over(self, claimed: Claimed, pod: Mapping[str, Any]) -> HandedOver:
        self._tally.hit(claimed.record.profile, seconds=self._clock() - claimed.launch.accepted_at)
        self._complaints.settle(
            f"attach:{self._cluster}:{claimed.namespace}",
            "Warm pods of namespace %s in cluster %s are used again",
            claimed.namespace,
            self._cluster,
        )
        node = str((pod.get("spec") or {}).get("nodeName") or "")
        return HandedOver(claimed.launch, claimed.record, claimed.namespace, claimed.name, _uid_of(pod), node)

    def _abandon(self, claimed: Claimed, pod: Mapping[str, Any], why: str) -> Abandoned:
        log.warning("Pod %s is deleted, and %s is launched again: %s", claimed.pod, claimed.record.name, why)
        self._tally.miss(claimed.record.profile, "abandoned")
        return Abandoned(claimed.launch, claimed.record, claimed.namespace, claimed.name, _uid_of(pod))


def _uid_of(pod: Mapping[str, Any]) -> str:
    return str((pod.get("metadata") or {}).get("uid") or "")


def _is_usable(pod: Mapping[str, Any]) -> bool:
    """Return whether the pod runs and is not being deleted."""
    is_terminating = (pod.get("metadata") or {}).get("deletionTimestamp") is not None
    return not is_terminating and (pod.get("status") or {}).get("phase") == "Running"
