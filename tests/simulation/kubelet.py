"""A model of a node: it starts the pods of the API, and reports their status as the sandbox's kubelet does."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hybrid_executor.agent.identity import identify
from hybrid_executor.kube.warm_pod import NOTHING_RAN
from hybrid_executor.sandbox.history import Change
from hybrid_executor.sandbox.objects import PODS, Object, is_being_deleted, timestamp
from hybrid_executor.sandbox.pod_status import (
    ContainerRecord,
    Verdict,
    kubelet_status,
    lost_status,
    running,
    scheduled_status,
    terminated,
    waiting,
)
from hybrid_executor.sandbox.pods import Deletion, has_ended
from tests.simulation.airflow_model import NotWaiting, TaskAlreadyRunningError
from tests.simulation.invariants_of_pods import PodOwners
from tests.simulation.kube_server import KubeServer
from tests.simulation.plan import Fault
from tests.simulation.pod_program import PodProgram
from tests.simulation.tasks import Tasks
from tests.simulation.world import Process, World

_NODE = "node"
_PULL_AGAIN_SECONDS = 4.0
_IMPORT_SECONDS = 1.5


@dataclass(eq=False)
class NodePod:
    """One pod on the node.

    :ivar attempt: whose workload it runs; "" before it has one.
    :ivar program: what waits for its workload; None where that is in its arguments.
    :ivar process: runs its container; None before its start.
    :ivar is_over: its container has ended.
    """

    uid: str
    name: str
    attempt: str
    record: ContainerRecord
    times: random.Random
    started_at: str = ""
    process: Process | None = None
    program: PodProgram | None = None
    is_over: bool = False
    problems: list[str] = field(default_factory=list)


class Kubelet:
    """One node with room for all pods.

    :param faults: of these, those of pods.
    """

    def __init__(
        self, world: World, server: KubeServer, tasks: Tasks, faults: tuple[Fault, ...], owners: PodOwners
    ) -> None:
        self._world = world
        self._server = server
        self._tasks = tasks
        self._owners = owners
        self._pods: dict[str, NodePod] = {}
        self._names: set[str] = set()
        self._faults = [fault for fault in faults if fault.is_of_pod]
        server.listen(self._on_change)

    @property
    def running(self) -> list[NodePod]:
        """The pods whose container runs."""
        return [pod for pod in self._pods.values() if pod.process is not None and not pod.is_over]

    def harm(self, fault: Fault) -> None:
        """Do what a fault does to a pod that runs, or to all."""
        pods = self.running
        for pod in pods if fault.kind == "lose_node" else pods[:1]:
            self._world.say(f"{fault}: {pod.name}")
            if fault.kind == "delete_pod":
                self._server.pods.delete(self._server.namespace, pod.name, Deletion())
            elif fault.kind == "lose_node":
                self._end(pod)
                status = lost_status(self._stored(pod)["status"], _NODE, pod.name)
                self._server.pods.set_status(self._server.namespace, pod.name, status)
                self._server.pods.delete(self._server.namespace, pod.name, Deletion(grace_seconds=0))
            elif fault.kind == "evict":
                self._finish(pod, 137, verdict=Verdict("Failed", "Evicted", "The node was low on resource: memory."))
            else:
                self._finish(pod, 137, reason="OOMKilled")

    def _on_change(self, change: Change) -> None:
        if change.resource is not PODS:
            return
        uid = change.state["metadata"]["uid"]
        if change.before is None and change.after is not None:
            self._take(uid, change.after)
        elif change.after is None:
            pod = self._pods.pop(uid, None)
            if pod is not None:
                self._world.say(f"pod {pod.name} is gone")
                self._end(pod)
                self._server.programs.pop(pod.name, None)
        elif is_being_deleted(change.after) and not is_being_deleted(change.before or {"metadata": {}}):
            pod = self._pods[uid]
            self._later(pod, pod.times.choice((0.05, 0.5, 3.0)), self._remove)

    def _take(self, uid: str, stored: Object) -> None:
        identity = identify(stored)
        name = stored["metadata"]["name"]
        attempt, launch = (identity.attempt, identity.launch) if identity is not None else (name, 0)
        container = stored["spec"]["containers"][0]
        if name in self._names and self._server.is_late:
            self._tasks.is_launched_again(attempt)
        self._names.add(name)
        times = random.Random(f"{self._world.seed} {attempt} {launch}")
        pod = NodePod(uid, name, attempt, ContainerRecord(container["name"], container["image"]), times)
        if container.get("stdin"):
            pod.program, pod.attempt = PodProgram(self._world), ""
        self._pods[uid] = pod
        whom = f"{attempt[:8]}, launch {launch}" if identity is not None else "whoever needs it"
        self._world.say(f"pod {name} is created for {whom}")
        self._later(pod, 0.02 + times.random(), self._bind)

    def _later(self, pod: NodePod, seconds: float, act: Callable[[NodePod], None]) -> None:
        self._world.after(seconds, lambda: act(pod) if pod.uid in self._pods else None)

    def _stored(self, pod: NodePod) -> Object:
        return self._server.cluster.get(PODS, self._server.namespace, pod.name)

    def _bind(self, pod: NodePod) -> None:
        stored = self._stored(pod)
        pod.started_at = timestamp()
        self._server.pods.bind(stored, node=_NODE, status=scheduled_status(stored["status"]))
        self._later(pod, 0.05 + 2 * pod.times.random() ** 2, self._start)

    def _start(self, pod: NodePod) -> None:
        stored = self._stored(pod)
        if is_being_deleted(stored) or pod.is_over:
            return
        fault = self._fault()
        if fault is not None:
            self._world.say(f"{fault}: {pod.name}")
        if fault is not None and fault.kind == "pull_fails":
            pod.record.state = waiting("ErrImagePull", "registry: 503 Service Unavailable")
            self._report(pod)
            self._later(pod, _PULL_AGAIN_SECONDS, self._start)
        elif fault is not None and fault.kind == "start_error":
            pod.record.container_id = "x"
            self._finish(pod, 128, reason="StartError")
        else:
            pod.record.state, pod.record.container_id = running(timestamp()), "x"
            pod.process = process = self._world.make_process(f"pod-{pod.attempt[:6] or pod.name[-6:]}")
            self._report(pod)
            arguments = stored["spec"]["containers"][0]["args"]
            if pod.program is not None:
                self._server.programs[pod.name] = program = pod.program
                self._world.start(process, lambda: self._await_workload(pod, process, program, float(arguments[3])))
            else:
                self._world.start(process, lambda: self._run(pod, process, json.loads(arguments[-1])))

    def _await_workload(self, pod: NodePod, process: Process, program: PodProgram, seconds: float) -> None:
        """Do what the program of a pod without a workload does."""
        self._world.sleep(_IMPORT_SECONDS * pod.times.random() ** 2)
        program.say("ready")
        line = program.read_line(seconds)
        self._world.sleep(0.02 * pod.times.random())
        if line is None:
            self._finish(pod, NOTHING_RAN)
            return
        attempt, _, workload = line.partition(" ")
        program.is_waiting, pod.attempt = False, attempt
        program.say(f"accepted {attempt}")
        self._world.say(f"pod {pod.name} accepts {attempt[:8]}", process=process)
        self._owners.accepts(self._stored(pod), attempt)
        self._run(pod, process, json.loads(workload))

    def _run(self, pod: NodePod, process: Process, workload: dict[str, Any]) -> None:
        self._world.sleep(0.5 * pod.times.random())
        try:
            code = self._tasks.run(workload["ti"]["id"], pod.attempt, process)
        except (TaskAlreadyRunningError, NotWaiting) as refusal:
            self._world.say(str(refusal))
            code = 1
        if pod.uid in self._pods and not pod.is_over:
            self._finish(pod, code)

    def _finish(self, pod: NodePod, code: int, *, reason: str = "", verdict: Verdict | None = None) -> None:
        """End the container. The first report says so, and a later one how the pod ended."""
        self._end(pod)
        pod.record.state = terminated(code, started_at=pod.started_at, container_id="x", reason=reason)
        self._report(pod, verdict=verdict, is_final=False)
        self._later(pod, pod.times.choice((0.0, 0.1, 1.3)), lambda pod: self._report(pod, verdict=verdict))

    def _end(self, pod: NodePod) -> None:
        pod.is_over = True
        if pod.program is not None:
            pod.program.end()
        if pod.process is not None:
            self._world.kill(pod.process)

    def _remove(self, pod: NodePod) -> None:
        if pod.process is not None and not pod.is_over:
            self._end(pod)
            code = NOTHING_RAN if pod.program is not None and pod.program.is_waiting else 143
            pod.record.state = terminated(code, started_at=pod.started_at, container_id="x")
            self._report(pod)
        self._server.pods.delete(self._server.namespace, pod.name, Deletion(grace_seconds=0))

    def _report(self, pod: NodePod, *, verdict: Verdict | None = None, is_final: bool = True) -> None:
        stored = self._stored(pod)
        if has_ended(stored):
            return
        status = kubelet_status(
            stored["status"],
            [pod.record],
            ip="10.0.0.1",
            started_at=pod.started_at,
            restart_policy="Never",
            verdict=verdict,
            is_final=is_final,
        )
        self._server.pods.set_status(self._server.namespace, pod.name, status)

    def _fault(self) -> Fault | None:
        """Return what happens to a pod that starts."""
        now = self._world.seconds()
        for fault in self._faults:
            if fault.at > now or fault.kind not in ("pull_fails", "start_error"):
                continue
            if not fault.seconds:
                self._faults.remove(fault)
                return fault
            if now < fault.at + fault.seconds:
                return fault
        return None
