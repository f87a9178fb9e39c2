"""A pod's status as a kubelet reports it, computed from the state of its containers. Pure.

A kubelet reports how a pod ended (phase, reason, message, the condition DisruptionTarget) only after all containers
have ended. Only the reason of the condition Ready shows it earlier.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hybrid_executor.sandbox.objects import Object, timestamp

SCHEDULED = "PodScheduled"
ENDED_PHASES = frozenset({"Succeeded", "Failed"})


@dataclass
class ContainerRecord:
    """What the kubelet knows of one container.

    :ivar state: its ``state``: one of waiting, running, terminated.
    :ivar restarts: how often it was started again.
    :ivar container_id: "" before its first start.
    """

    name: str
    image: str
    is_init: bool = False
    is_sidecar: bool = False
    state: Object = field(default_factory=lambda: waiting("PodInitializing"))
    last_state: Object = field(default_factory=dict)
    restarts: int = 0
    container_id: str = ""

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        """How it ended, None if it has not."""
        terminated = self.state.get("terminated")
        return None if terminated is None else int(terminated["exitCode"])


@dataclass(frozen=True)
class Verdict:
    """A phase that does not follow from the containers, e.g. of an evicted pod."""

    phase: str
    reason: str = ""
    message: str = ""


def waiting(reason: str, message: str = "") -> Object:
    """Return the state of a container that does not run yet, or not now."""
    return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}


def unlocated() -> Object:
    """Return the state that a kubelet makes up, when a pod ends, for a container that never ran."""
    message = "The container could not be located when the pod was terminated"
    return {
        "terminated": {
            "exitCode": 137,
            "reason": "ContainerStatusUnknown",
            "message": message,
            "startedAt": None,
            "finishedAt": None,
        }
    }


def running(since: str) -> Object:
    """Return the state of a running container."""
    return {"running": {"startedAt": since}}


def terminated(exit_code: int, *, started_at: str, container_id: str, reason: str = "", message: str = "") -> Object:
    """Return the state of a container that has just ended.

    :param reason: by default Completed or Error, as the exit code says.
    """
    ended: Object = {
        "exitCode": exit_code,
        "reason": reason or ("Completed" if exit_code == 0 else "Error"),
        "startedAt": started_at,
        "finishedAt": timestamp(),
    }
    if message:
        ended["message"] = message
    if container_id:
        ended["containerID"] = container_id
    return {"terminated": ended}


def pod_phase(records: Sequence[ContainerRecord], restart_policy: str) -> str:
    """Return the phase that follows from the containers."""
    inits = [record for record in records if record.is_init and not record.is_sidecar]
    mains = [record for record in records if not record.is_init]
    if any(record.exit_code not in {None, 0} for record in inits) and restart_policy == "Never":
        return "Failed"
    if any(record.exit_code != 0 for record in inits):
        return "Pending"
    if any("waiting" in record.state and not record.last_state for record in mains):
        return "Pending"
    codes = [record.exit_code for record in mains]
    if any(record.is_sidecar and record.is_running for record in records):
        return "Running"
    if None in codes or restart_policy == "Always":
        return "Running"
    if all(code == 0 for code in codes):
        return "Succeeded"
    return "Failed" if restart_policy == "Never" else "Running"


def scheduled_status(status: Object, *, problem: str = "") -> Object:
    """Return the status of a pod that was given to a node, or that none can take and why."""
    wanted = _condition(SCHEDULED, not problem, reason="Unschedulable" if problem else "", message=problem)
    return {**status, "conditions": _with_conditions(status.get("conditions", []), [wanted])}


def lost_status(status: Object, node: str, name: str) -> Object:
    """Return the status of a pod whose node is gone, as the node controllers leave it behind."""
    lost = _condition("DisruptionTarget", True, reason="DeletionByPodGC", message="PodGC: node no longer exists")
    unready = _condition("Ready", False)
    return {
        **status,
        "phase": "Failed",
        "reason": "NodeLost",
        "message": f"Node {node} which was running pod {name} is unresponsive",
        "conditions": _with_conditions(status.get("conditions", []), [unready, lost]),
    }


def kubelet_status(
    previous: Object,
    records: Sequence[ContainerRecord],
    *,
    ip: str,
    started_at: str,
    restart_policy: str,
    verdict: Verdict | None = None,
    is_final: bool = True,
) -> Object:
    """Return the whole status of a pod on its node.

    :param previous: the status so far; its scheduling condition and times of transition are kept.
    :param is_final: the node is done with the pod; before that, how it ended is held back.
    """
    phase = verdict.phase if verdict else pod_phase(records, restart_policy)
    wanted = _kubelet_conditions(records, phase, verdict if is_final else None, is_final=is_final)
    status: Object = {
        "phase": phase if is_final or phase not in ENDED_PHASES else previous.get("phase", "Pending"),
        "conditions": _with_conditions(previous.get("conditions", []), wanted),
        "hostIP": ip,
        "hostIPs": [{"ip": ip}],
        "startTime": started_at,
        "qosClass": previous["qosClass"],
    }
    if verdict and verdict.reason and is_final:
        status |= {"reason": verdict.reason, "message": verdict.message}
    if any(record.container_id for record in records):
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    for group, is_init in (("initContainerStatuses", True), ("containerStatuses", False)):
        statuses = [_container_status(record) for record in records if record.is_init is is_init]
        if statuses:
            status[group] = statuses
    return status


def _container_status(record: ContainerRecord) -> Object:
    is_done_init = record.is_init and not record.is_sidecar and record.exit_code == 0
    status: Object = {
        "name": record.name,
        "state": record.state,
        "lastState": record.last_state,
        "ready": record.is_running or is_done_init,
        "restartCount": record.restarts,
        "image": record.image,
        "imageID": f"sandbox://{record.image}" if record.container_id else "",
        "started": record.is_running,
    }
    if record.container_id:
        status["containerID"] = record.container_id
    return status


def _kubelet_conditions(
    records: Sequence[ContainerRecord], phase: str, verdict: Verdict | None, *, is_final: bool
) -> Iterable[Object]:
    inits = [record for record in records if record.is_init]
    mains = [record for record in records if not record.is_init]
    names = [record.name for record in inits if record.exit_code != 0 and not record.is_sidecar]
    unready = [record.name for record in mains if not record.is_running]
    has_started = any(record.container_id for record in records)
    has_sandbox = has_started and not (is_final and phase in ENDED_PHASES)
    yield _condition("PodReadyToStartContainers", has_sandbox)
    if names:
        message = f"containers with incomplete status: [{' '.join(names)}]"
        yield _condition("Initialized", False, reason="ContainersNotInitialized", message=message)
    else:
        yield _condition("Initialized", True, reason="PodCompleted" if phase == "Succeeded" else "")
    for kind in ("Ready", "ContainersReady"):
        if phase in ENDED_PHASES:
            reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
            yield _condition(kind, False, reason=reason)
        elif unready:
            message = f"containers with unready status: [{' '.join(unready)}]"
            yield _condition(kind, False, reason="ContainersNotReady", message=message)
        else:
            yield _condition(kind, True)
    if verdict and verdict.reason == "Evicted":
        yield _condition("DisruptionTarget", True, reason="TerminationByKubelet", message=verdict.message)


def _condition(kind: str, is_true: bool, *, reason: str = "", message: str = "") -> Object:
    condition: Object = {"type": kind, "status": "True" if is_true else "False", "lastProbeTime": None}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _with_conditions(previous: Sequence[Object], wanted: Iterable[Object]) -> list[Object]:
    """Return the conditions with some replaced; the time of transition moves only where the status does."""
    merged = {condition["type"]: condition for condition in previous}
    for condition in wanted:
        old = merged.get(condition["type"], {})
        is_same = old.get("status") == condition["status"]
        since = old["lastTransitionTime"] if is_same else timestamp()
        merged[condition["type"]] = {**condition, "lastTransitionTime": since}
    return list(merged.values())
