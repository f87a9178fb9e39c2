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

import time
from collections.abc import Mapping
from typing import Any

from hybrid_executor.agent.identity import ANNOTATION_GENERATION, identify_own
from hybrid_executor.agent.launch.entries import Again, Claimed, Failed, HandOverResult, TakenBack
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.warm.own_pods import OwnHandOver
from hybrid_executor.agent.warm.tally import WarmTally
from hybrid_executor.agent.warm.writing import WorkloadWriter, is_usable
from hybrid_executor.backoff import CREATE
from hybrid_executor.errors import KubeError, TaskRejected
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.warm_pod import CLAIMED, WAITING, claim_of, claim_patch, warm_state
from hybrid_executor.states import State
from hybrid_executor.store import Store


class HandOver:
    """Hands workloads over in one cluster, to warm pods and to those of :mod:`own_pods`. Safe for several threads.

    :param instance: whose pods these are.
    """

    def __init__(
        self,
        writer: WorkloadWriter,
        *,
        instance: str,
        client: KubeClient,
        store: Store,
        factory: PodFactory,
        tally: WarmTally,
    ) -> None:
        self._instance = instance
        self._writer = writer
        self._client = client
        self._factory = factory
        self._tally = tally
        self._own = OwnHandOver(writer, instance=instance, client=client, store=store, pause=time.sleep)

    def run(self, claimed: Claimed) -> HandOverResult:
        """Try once to hand a workload over. KubeErrors are returned as a result, not raised.

        :raises StoreUnavailable: Redis unavailable; it may be run again.
        """
        try:
            if not claimed.is_warm:
                return self._own.run(claimed)
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
        return self._writer.give(claimed, pod)

    def _look(self, claimed: Claimed) -> HandOverResult:
        """Go on with a hand-over that somebody, perhaps this agent, has begun."""
        try:
            pod = self._client.get_pod(claimed.namespace, claimed.name)
        except KubeError as error:
            if error.status != 404:
                raise
            pod = {}
        if pod and warm_state(pod) == WAITING and is_usable(pod):
            return self._claim(claimed)
        return self._judge(claimed, pod)

    def _judge(self, claimed: Claimed, pod: Mapping[str, Any]) -> HandOverResult:
        """Return what follows for a pod that does not wait."""
        record = claimed.record
        if not pod:
            words = f"Pod {claimed.pod}, which this attempt was given, does not exist any more: its task may have run."
            return Failed(claimed.launch, record, words, str(Category.VANISHED), is_lost=True, sources=(State.PENDING,))
        identity = identify_own(pod, self._instance)
        if warm_state(pod) != CLAIMED or identity is None or identity.attempt != record.id:
            return self._take_back(claimed)
        if claim_of(pod) == claimed.launch.claim and not claimed.launch.has_written:
            return self._writer.give(claimed, pod)
        return self._writer.settle(claimed, pod, "the hand-over was interrupted")

    def _take_back(self, claimed: Claimed) -> TakenBack:
        """The pod cannot be used, and it never had this attempt's labels: launch the attempt again."""
        self._tally.miss(claimed.record.profile, "gone")
        words = f"Launched again: the waiting pod {claimed.pod} ended before it got the workload."
        return TakenBack(claimed.launch, claimed.record, words)
