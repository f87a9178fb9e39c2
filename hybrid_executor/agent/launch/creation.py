"""The creation of one pod, and what its errors mean.

Promises: any agent may repeat a creation at any time. A launch always has the same name, and a conflict with a pod of
the same launch is a success. Errors of the cluster are tried again. Only an error of the pod itself fails the launch.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from hybrid_executor.agent.identity import ANNOTATION_GENERATION, PodIdentity, identify, identify_own
from hybrid_executor.agent.launch.entries import Again, Created, Failed, Launch, Ready, Refused, Tried
from hybrid_executor.backoff import CREATE
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KubeError
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.names import LABEL_INSTANCE, attempt_selector
from hybrid_executor.kube.refusal import Refusal, judge_create_error, missing_attach_right
from hybrid_executor.kube.rights import AttachRight
from hybrid_executor.kube.warm_pod import CLAIMED, warm_state
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.metrics import table as metric

log = logging.getLogger(__name__)

_MOST_NAMES = 5


class PodCreator:
    """Creates pods of one cluster. Safe for several threads.

    :param run_pod: creates a pod in the namespace of its manifest; the launcher's ``run_pod_async``.
    :param patience_seconds: how long to try again after a refusal that may be temporary or permanent.
    :param distrusts_records: returns whether Redis lost data lately, so that a pod may exist without a record.
    :param held_since: returns since when no other agent can have taken over this one's launches (monotonic seconds).
    """

    def __init__(
        self,
        *,
        cluster: str,
        instance: str,
        client: KubeClient,
        run_pod: Callable[[Mapping[str, Any]], dict[str, Any]],
        settings: KubernetesSettings,
        patience_seconds: float,
        distrusts_records: Callable[[], bool],
        held_since: Callable[[], float] = lambda: 0.0,
        metrics: Metrics = SILENT,
    ) -> None:
        self._metrics = metrics
        self._cluster = cluster
        self._instance = instance
        self._client = client
        self._run_pod = run_pod
        self._settings = settings
        self._patience_seconds = patience_seconds
        self._distrusts_records = distrusts_records
        self._held_since = held_since
        self._attach = AttachRight(client)

    def create(self, ready: Ready) -> Tried:
        """Try once to create a pod. KubeErrors are returned as a result, not raised."""
        manifest = ready.manifest
        try:
            existing = self._find_existing(ready) if self._distrusts_records() else None
            if existing is not None:
                identity, is_claimed = existing
                return self._take_for_done(ready, identity, is_claimed=is_claimed)
            if manifest.awaits_workload and not self._attach.is_granted(manifest.namespace):
                return self._after_error(ready, missing_attach_right(patience_seconds=self._patience_seconds))
            if ready.launch.announced_at < self._held_since():
                # This agent was paused, so another one may have launched the attempt. Its record is read again.
                return Again(ready.launch, 0.0)
            pod = self._run_pod(manifest.pod)
        except KubeError as error:
            if not 400 <= error.status < 500:
                ready.launch.unanswered_at = time.monotonic()
            return self._after_error(ready, judge_create_error(error, patience_seconds=self._patience_seconds))
        if self._settings.logs_task_metadata:
            annotations = manifest.pod["metadata"].get("annotations")
            log.info("Pod %s/%s has the annotations %s", manifest.namespace, manifest.name, annotations)
        uid = str((pod.get("metadata") or {}).get("uid") or "")
        created = Created(ready.launch, ready.record, manifest.namespace, manifest.name, uid)
        if (pod.get("spec") or {}).get("restartPolicy") == "Always":
            return self._refuse_restarts(created)
        return created

    def _refuse_restarts(self, created: Created) -> Failed:
        """Fail a launch whose restartPolicy a webhook has changed: its task would run again and again."""
        words = (
            f"Cluster {self._cluster} changed restartPolicy of pod {created.namespace}/{created.name} from Never to "
            "Always, and its task would run again and again. Exclude pods with the label "
            f"{LABEL_INSTANCE} from the mutating webhook or policy that does it."
        )
        return Failed(created.launch, created.record, words, "rejected", unwanted=created)

    def _find_existing(self, ready: Ready) -> tuple[PodIdentity, bool] | None:
        """Return an existing pod of this attempt, of any launch, and whether it was a warm pod; None for none."""
        selector = attempt_selector(self._instance, ready.record.id)
        for pod in self._client.list_pods(ready.manifest.namespace, selector).items:
            identity = identify(pod)
            if identity is not None and identity.attempt == ready.record.id:
                return identity, warm_state(pod) == CLAIMED
        return None

    def _after_error(self, ready: Ready, refusal: Refusal) -> Tried:
        launch = ready.launch
        if refusal.action == "exists":
            return self._after_conflict(ready)
        if refusal.action == "reject":
            return Failed(launch, ready.record, refusal.reason, "rejected")
        launch.failures += 1
        launch.last_words = refusal.reason
        self._metrics.count(metric.LAUNCH_RETRIES, cluster=self._cluster, reason=refusal.cause)
        failed = None
        if not self._settings.may_publish_again(launch.failures):
            words = f"No pod could be created in {launch.failures} tries: {refusal.reason}"
            failed = Failed(launch, ready.record, words, "unavailable")
        if refusal.concerns != "pod":
            return Refused(launch, ready.record, refusal, failed)
        seconds = CREATE.seconds(launch.failures, jitter=random.random(), retry_after=refusal.retry_after_seconds)
        return failed or Again(launch, seconds, refusal.reason)

    def _after_conflict(self, ready: Ready) -> Tried:
        """The name exists: it is our pod, whose creation was not answered, or somebody else's."""
        launch, manifest = ready.launch, ready.manifest
        try:
            pod = self._client.get_pod(manifest.namespace, manifest.name)
        except KubeError as error:
            return _again(launch, error)  # the pod is gone again, or the API server does not answer now
        identity = identify_own(pod, self._instance)
        if identity is not None and (identity.attempt, identity.launch) == (ready.record.id, ready.record.launch):
            return self._take_for_done(ready, identity)
        launch.renames += 1
        if launch.renames > _MOST_NAMES:
            words = f"The pod name {manifest.name} and {_MOST_NAMES} others are in use by pods that are not ours."
            return Failed(launch, ready.record, words, "rejected")
        return Again(launch, 0.0)

    def _take_for_done(self, ready: Ready, identity: PodIdentity, *, is_claimed: bool = False) -> Tried:
        """Treat an existing pod as the created one.

        :param is_claimed: it waits for its workload, or has it; its record, which told that, was lost.
        """
        if identity.generation != ready.record.generation:
            # It was launched before Redis lost its data. Now it belongs to the record that was written again.
            annotation = {ANNOTATION_GENERATION: str(ready.record.generation)}
            try:
                self._client.patch_pod(identity.namespace, identity.name, {"metadata": {"annotations": annotation}})
            except KubeError as error:
                if error.status != 403:
                    # It may be gone. What is seen of a pod of an older generation does not reach the record.
                    return _again(ready.launch, error)
                log.warning("The new generation of pod %s could not be written to it: %s", identity.path, error)
        return Created(ready.launch, ready.record, identity.namespace, identity.name, identity.uid, is_claimed)


def _again(launch: Launch, error: KubeError) -> Again:
    launch.failures += 1
    launch.last_words = str(error)
    return Again(launch, CREATE.seconds(launch.failures, jitter=random.random()), str(error))
