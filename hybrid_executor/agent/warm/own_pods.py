"""The hand-over of a workload to the pod that was made for its attempt, so that no token is in the pod's spec.

The steps, each of which may be the last one that an agent makes:

1. The launcher creates the pod, which waits for one line on its standard input.
2. The watcher sees that its container runs, and puts the hand-over on the launch stream. Any agent takes it.
3. The pod says that it is ready. Then a patch, which only succeeds while nobody has begun, gives the pod to this agent.
4. As for a warm pod: the record is read again, the workload is written, and the pod says that it has accepted it.

Until step 3 nothing has been written, so the next agent goes on. After it, the next agent reads the pod's log: a pod
that has accepted its workload runs, and any other one is deleted and launched again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from hybrid_executor.agent.identity import identify_own
from hybrid_executor.agent.launch.entries import Again, Claimed, Dropped, HandOverResult
from hybrid_executor.agent.warm.writing import WorkloadWriter, is_usable
from hybrid_executor.backoff import Backoff
from hybrid_executor.errors import KubeError
from hybrid_executor.kube.awaiting_pod import AWAITED, begin_patch, hand_over_state
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.warm_pod import CLAIMED, claim_of, is_ready
from hybrid_executor.store import Store

_FIRST_LOOKS = 8  # Python takes a moment to start; later looks must not keep a thread from other pods
_LOOK_SECONDS = 0.1
_NOT_READY = Backoff(first_seconds=0.5, most_seconds=10)
_RENEWAL = Backoff(first_seconds=1, most_seconds=8)
_MOST_QUESTIONS = 8  # half a minute: schedulers read events each second


class OwnHandOver:
    """Hands workloads over to the pods of their attempts, in one cluster. Safe for several threads.

    :param instance: whose pods these are. :param pause: waits for so many seconds.
    """

    def __init__(
        self,
        writer: WorkloadWriter,
        *,
        instance: str,
        client: KubeClient,
        store: Store,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._instance = instance
        self._writer = writer
        self._client = client
        self._store = store
        self._pause = pause

    def run(self, claimed: Claimed) -> HandOverResult:
        """Try once.

        :raises KubeError: the API server could not be asked; it may be tried again.
        :raises StoreUnavailable: Redis unavailable; it may be tried again.
        """
        pod = self._find(claimed)
        state = hand_over_state(pod)
        if not pod or state not in (AWAITED, CLAIMED) or not self._is_own(pod, claimed):
            return Dropped(claimed.launch)  # the watcher decides about a pod that is gone
        if state == CLAIMED:
            return self._go_on(claimed, pod)
        if not is_usable(pod):
            is_over = (pod.get("status") or {}).get("phase") not in ("Pending", "Running") or _is_terminating(pod)
            return Dropped(claimed.launch) if is_over else self._wait(claimed)
        if not self._is_ready(claimed):
            return self._wait(claimed)
        if not claimed.payload:
            return self._renew(claimed)
        return self._begin(claimed)

    def _is_own(self, pod: Mapping[str, Any], claimed: Claimed) -> bool:
        identity = identify_own(pod, self._instance)
        return identity is not None and identity.attempt == claimed.record.id

    def _find(self, claimed: Claimed) -> Mapping[str, Any]:
        try:
            return self._client.get_pod(claimed.namespace, claimed.name)
        except KubeError as error:
            if error.status != 404:
                raise
            return {}

    def _is_ready(self, claimed: Claimed) -> bool:
        """Wait a moment until the pod has said that it is ready: nothing is written to anything else."""
        for look in range(1 if claimed.launch.looks else _FIRST_LOOKS):
            if look:
                self._pause(_LOOK_SECONDS)
            if is_ready(self._writer.read_log(claimed)):
                return True
        return False

    def _wait(self, claimed: Claimed) -> Again:
        launch = claimed.launch
        launch.looks += 1
        words = "" if launch.looks < 5 else "Its pod runs and has not asked for its workload yet."
        return Again(launch, _NOT_READY.seconds(launch.looks), words)

    def _begin(self, claimed: Claimed) -> HandOverResult:
        """Step 3."""
        if claimed.payload and not self._writer.is_wanted(claimed):
            return self._wait(claimed)  # the next look at the record decides; nothing has begun
        try:
            pod = self._client.patch_pod(claimed.namespace, claimed.name, begin_patch(claimed.launch.claim))
        except KubeError as error:
            if error.status not in (404, 409, 422):
                raise
            pod = dict(self._find(claimed))
            if hand_over_state(pod) != CLAIMED:
                return self._wait(claimed)
            return self._go_on(claimed, pod)
        return self._writer.give(claimed, pod)

    def _go_on(self, claimed: Claimed, pod: Mapping[str, Any]) -> HandOverResult:
        """Somebody has begun: this agent, if its answer was lost or the pod could not be attached to, or another."""
        if claim_of(pod) == claimed.launch.claim and not claimed.launch.has_written:
            return self._writer.give(claimed, pod)
        return self._writer.settle(claimed, pod, "the hand-over was interrupted")

    def _renew(self, claimed: Claimed) -> HandOverResult:
        """The workload has expired, or Redis has lost it: ask the attempt's owner for a new one.

        If that does not answer, the pod is given up and the attempt launched again, so that its owner decides.
        """
        launch = claimed.launch
        launch.failures += 1
        if launch.failures > _MOST_QUESTIONS:
            return self._begin(claimed)
        self._store.hand_overs.want(claimed.record.id, generation=claimed.record.generation)
        words = "Its workload has expired, and its scheduler makes a new one."
        return Again(launch, _RENEWAL.seconds(launch.failures), words)


def _is_terminating(pod: Mapping[str, Any]) -> bool:
    return (pod.get("metadata") or {}).get("deletionTimestamp") is not None
