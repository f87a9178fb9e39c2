"""Kubernetes' many reasons for a pod's state, each as one stable category. Pure tables."""

from __future__ import annotations

from enum import Enum


class Category(str, Enum):
    """Why a pod is in its state. Values are stored and shown: never rename them."""

    PENDING = "pending"
    UNSCHEDULABLE = "unschedulable"
    RUNNING = "running"
    TERMINATING = "terminating"
    COMPLETED = "completed"
    EXIT_NONZERO = "exit_nonzero"
    OOM_KILLED = "oom_killed"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    EVICTED = "evicted"
    PREEMPTED = "preempted"
    NODE_LOST = "node_lost"
    NODE_SHUTDOWN = "node_shutdown"
    NODE_REFUSED = "node_refused"
    PROVIDER_FAILED = "provider_failed"
    DELETED = "deleted"
    DELETED_BEFORE_START = "deleted_before_start"
    VANISHED = "vanished"
    INIT_FAILED = "init_failed"
    IMAGE_PULL = "image_pull"
    IMAGE_INVALID = "image_invalid"
    CONFIG_ERROR = "config_error"
    START_ERROR = "start_error"
    CRASH_LOOP = "crash_loop"
    POD_FAILED = "pod_failed"
    NOT_HANDED_OVER = "not_handed_over"
    UNLABELLED = "unlabelled"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


WAITING = {
    "ErrImagePull": Category.IMAGE_PULL,
    "ImagePullBackOff": Category.IMAGE_PULL,
    "ErrImageNeverPull": Category.IMAGE_PULL,
    "ImageInspectError": Category.IMAGE_PULL,
    "RegistryUnavailable": Category.IMAGE_PULL,
    "SignatureValidationFailed": Category.IMAGE_PULL,
    "InvalidImageName": Category.IMAGE_INVALID,
    "CreateContainerConfigError": Category.CONFIG_ERROR,
    "CreateContainerError": Category.START_ERROR,
    "PreCreateHookError": Category.START_ERROR,
    "PreStartHookError": Category.START_ERROR,
    "PostStartHookError": Category.START_ERROR,
    "RunContainerError": Category.START_ERROR,
    "CrashLoopBackOff": Category.CRASH_LOOP,
}
"""Reasons of a container that waits. Others (ContainerCreating, PodInitializing) are normal."""

TERMINATED = {
    "OOMKilled": Category.OOM_KILLED,
    "DeadlineExceeded": Category.DEADLINE_EXCEEDED,
    "ContainerCannotRun": Category.START_ERROR,
    "StartError": Category.START_ERROR,
    "ContainerStatusUnknown": Category.NODE_LOST,
}
"""Reasons of a container that ended, beside Error and Completed."""

POD = {
    "Evicted": Category.EVICTED,
    "DeadlineExceeded": Category.DEADLINE_EXCEEDED,
    "NodeLost": Category.NODE_LOST,
    "NodeShutdown": Category.NODE_SHUTDOWN,
    "Shutdown": Category.NODE_SHUTDOWN,
    "Terminated": Category.NODE_SHUTDOWN,
    "Preempting": Category.PREEMPTED,
    "Preempted": Category.PREEMPTED,
    "ProviderFailed": Category.PROVIDER_FAILED,
    "UnexpectedAdmissionError": Category.NODE_REFUSED,
    "NodeAffinity": Category.NODE_REFUSED,
    "NodePorts": Category.NODE_REFUSED,
    "TaintToleration": Category.NODE_REFUSED,
    "Topology Affinity Error": Category.NODE_REFUSED,
    "TopologyAffinityError": Category.NODE_REFUSED,
    "AppArmor": Category.NODE_REFUSED,
    "PodOSNotSupported": Category.NODE_REFUSED,
    "SysctlForbidden": Category.NODE_REFUSED,
}
"""Reasons of a pod's status. Those of a node that refused the pod also come as OutOf<resource>."""

DISRUPTION = {
    "PreemptionByScheduler": Category.PREEMPTED,
    "DeletionByTaintManager": Category.NODE_LOST,
    "DeletionByPodGC": Category.NODE_LOST,
    "EvictionByEvictionAPI": Category.EVICTED,
    "TerminationByKubelet": Category.EVICTED,
}
"""Reasons of the condition DisruptionTarget, which says why the cluster itself ends a pod."""

WORDS = {
    Category.PENDING: "is waiting to start",
    Category.UNSCHEDULABLE: "finds no node",
    Category.RUNNING: "is running",
    Category.TERMINATING: "is being deleted",
    Category.COMPLETED: "completed",
    Category.EXIT_NONZERO: "failed",
    Category.OOM_KILLED: "ran out of memory",
    Category.DEADLINE_EXCEEDED: "ran longer than its activeDeadlineSeconds",
    Category.EVICTED: "was evicted from its node",
    Category.PREEMPTED: "was preempted by a pod of higher priority",
    Category.NODE_LOST: "was lost with its node",
    Category.NODE_SHUTDOWN: "ended because its node shut down",
    Category.NODE_REFUSED: "was refused by its node",
    Category.PROVIDER_FAILED: "was ended by the provider of its node",
    Category.DELETED: "was deleted while its task ran",
    Category.DELETED_BEFORE_START: "was deleted before its task started",
    Category.VANISHED: "does not exist any more",
    Category.INIT_FAILED: "failed in an init container, before its task started",
    Category.IMAGE_PULL: "cannot get its image",
    Category.IMAGE_INVALID: "has an image name that is not valid",
    Category.CONFIG_ERROR: "needs a config map, secret or other setting that does not exist",
    Category.START_ERROR: "has a container that cannot be started",
    Category.CRASH_LOOP: "fails again and again",
    Category.POD_FAILED: "failed",
    Category.NOT_HANDED_OVER: "ended before it got its task",
    Category.UNLABELLED: "lost the labels by which the agent watches it",
    Category.UNKNOWN: "is in an unknown state",
}


def category_of_pod_reason(reason: str) -> Category | None:
    """Return the category of ``status.reason``, None where it says nothing."""
    if reason.startswith("OutOf"):
        return Category.NODE_REFUSED
    return POD.get(reason)
