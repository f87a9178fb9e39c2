"""From an attempt's record and workload to the pod that runs it: template, profile, executor_config, mutation hook.

Promises: the same attempt and launch always give the same name. An error in a task's description is a TaskRejected with
a message for its author. Nothing here is logged: workloads hold a token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any, cast, get_args

from hybrid_executor.agent.identity import ANNOTATION_GENERATION
from hybrid_executor.agent.launch.mutation_hook import Hook
from hybrid_executor.config import DEFAULT_PROFILE, PodToken, Profile
from hybrid_executor.config.coordinators import CoordinatorPod
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.config.yaml_keys import keys_given_twice
from hybrid_executor.errors import TaskRejected
from hybrid_executor.events import AttemptId, Kind
from hybrid_executor.kube.awaiting_pod import AWAITED, as_awaiting, as_hooked, hand_over_state
from hybrid_executor.kube.demand import Demand, demand_of
from hybrid_executor.kube.findings import findings_of_pod
from hybrid_executor.kube.manifest import apply_mutation_hook, build_pod
from hybrid_executor.kube.names import pod_name
from hybrid_executor.kube.overrides import Overrides, read_overrides
from hybrid_executor.kube.request import PodRequest
from hybrid_executor.kube.template import TemplateCache, TemplateChoice, choose_template
from hybrid_executor.kube.warm_pod import as_waiting, kind_of
from hybrid_executor.states import State
from hybrid_executor.store import Record

_NO_COORDINATOR = CoordinatorPod()


@dataclass(frozen=True)
class Manifest:
    """A pod to be created. Its arguments may hold the workload's token: never show it."""

    namespace: str
    name: str
    pod: dict[str, Any] = field(repr=False)

    @property
    def demand(self) -> Demand:
        """What the pod asks of its namespace."""
        return demand_of(self.pod, namespace=self.namespace)

    @property
    def awaits_workload(self) -> bool:
        """The pod gets its workload by its standard input, and holds no token."""
        return hand_over_state(self.pod) == AWAITED


@dataclass(frozen=True)
class WaitingPod:
    """A pod that waits for an attempt.

    :ivar kind: differs for pods that differ.
    :ivar pod: its manifest; with :func:`~hybrid_executor.kube.warm_pod.with_name` it can be created.
    """

    kind: str
    namespace: str
    pod: dict[str, Any] = field(repr=False)


@cache
def _program() -> str:
    return resources.files("hybrid_executor.agent.warm").joinpath("program.py").read_text(encoding="utf-8")


class PodFactory:
    """Makes manifests for one cluster. Safe for several threads.

    :param profiles: profiles by name; records name theirs.
    :param hook: the deployment's ``pod_mutation_hook``, None for none.
    :param coordinator_pods: what Airflow's coordinators ask of pods, by queue.
    :param redis_id: returns the id of the Redis that the records are in.
    :param pod_token: how pods get their workload, see :class:`~hybrid_executor.config.Settings`.
    :param wait_seconds: how long a pod that runs waits for its workload.
    """

    def __init__(
        self,
        settings: KubernetesSettings,
        *,
        instance: str,
        profiles: Mapping[str, Profile],
        hook: Hook | None = None,
        airflow_version: str = "",
        coordinator_pods: Mapping[str, CoordinatorPod] | None = None,
        redis_id: Callable[[], str] = str,
        pod_token: PodToken = "args",
        wait_seconds: float = 3600.0,
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._profiles = profiles
        self._hook = hook
        self._airflow_version = airflow_version
        self._coordinator_pods = coordinator_pods or {}
        self._redis_id = redis_id
        self._pod_token = pod_token
        self._wait_seconds = wait_seconds
        self._templates = TemplateCache()
        self._profile_overrides: dict[str, Overrides] = {}

    def check_template(self) -> None:
        """Read the configured template when a process starts.

        :raises ConfigError: it cannot be used.
        """
        probe = PodRequest(kind="task", attempt_id="", instance=self._instance, queue="", payload="")
        self._templates.require(choose_template(probe, self._settings))

    def findings(self) -> Iterator[str]:
        """Yield a text for each suspicious field in the templates and profiles."""
        probe = PodRequest(kind="task", attempt_id="", instance=self._instance, queue="", payload="")
        choices = [choose_template(probe, self._settings)]
        for profile in self._profiles.values():
            try:
                overrides = self._overrides_of(profile)
            except TaskRejected as error:
                yield str(error)
                continue
            for words in findings_of_pod(overrides.pod):
                yield f"Profile {profile.name!r}: {words}"
            choices.append(TemplateChoice(overrides.template_file, f"pod_template_file of profile {profile.name!r}"))
        for queue, pod in self._coordinator_pods.items():
            choices.append(TemplateChoice(pod.template_file, f"pod_template_file of the coordinator of queue {queue}"))
        for choice in {choice.path: choice for choice in choices if choice.path}.values():
            yield from self._findings_of_template(choice)

    def _findings_of_template(self, choice: TemplateChoice) -> Iterator[str]:
        try:
            pod = self._templates.load(choice)
        except TaskRejected as error:
            yield str(error)
            return
        for words in [*keys_given_twice(choice.path), *findings_of_pod(pod)]:
            yield f"Pod template {choice.path} ({choice.option}): {words}"

    def build(self, record: Record, *, payload: str, overrides: str, rename: int = 0) -> Manifest:
        """Return the pod for the record's present launch.

        :param overrides: the task's overrides as Redis has them, "" for none.
        :param rename: how many names of this launch were in use by somebody else's pod.
        :raises TaskRejected: with what to fix.
        """
        is_handed_over = self._pod_token == "stdin"
        request = self.request(record, payload="" if is_handed_over else payload, overrides=overrides)
        template = self._templates.load(choose_template(request, self._settings))
        pod = build_pod(request, self._settings, template)
        if is_handed_over:
            pod = as_awaiting(pod, program=_program(), wait_seconds=self._wait_seconds)
        if self._hook is not None:
            pod = apply_mutation_hook(pod, self._hook)
            pod = as_hooked(pod) if is_handed_over else pod
        metadata = dict(pod["metadata"])
        if rename:
            subject = request.dag_id or request.kind
            metadata["name"] = pod_name(subject, request.task_id, f"{record.id}/{rename}", request.launch)
        metadata["annotations"] = {**(metadata.get("annotations") or {}), ANNOTATION_GENERATION: str(record.generation)}
        namespace = metadata["namespace"] = metadata.get("namespace") or self._settings.namespace
        return Manifest(namespace, metadata["name"], {**pod, "metadata": metadata})

    def build_waiting(self, profile: Profile) -> WaitingPod:
        """Return the pod that waits for an attempt of a profile with warm pods. It holds no workload.

        :raises TaskRejected: with what to fix.
        """
        warm = profile.warm
        assert warm is not None
        nobody = Record(id=AttemptId(""), state=State.SUBMITTED, generation=0, profile=profile.name)
        request = self.request(nobody, payload="", overrides="")
        template = self._templates.load(choose_template(request, self._settings))
        pod = as_waiting(
            build_pod(request, self._settings, template),
            program=_program(),
            wait_seconds=2 * warm.lifetime_seconds,
            profile=profile.name,
            priority_class=warm.priority_class,
        )
        if self._hook is not None:
            pod = apply_mutation_hook(pod, self._hook)
        namespace = pod["metadata"].get("namespace") or self._settings.namespace
        pod = {**pod, "metadata": {**pod["metadata"], "namespace": namespace}}
        return WaitingPod(kind_of(pod), namespace, pod)

    def why_cold(self, record: Record, *, overrides: str) -> str:
        """Return in one word why a record's pod cannot be a warm one of its profile, "" if it can.

        Asked only for profiles with warm pods.
        """
        profile = self._profiles.get(record.profile)
        if profile is None or profile.warm is None:
            return "off"
        if overrides:
            return "executor_config"
        if record.queue in self._coordinator_pods:
            return "coordinator"
        if self._hook is not None and not profile.warm.hook_ignores_task:
            return "hook"
        return ""

    def warm_profile(self, record: Record) -> Profile | None:
        """Return the record's profile if it has warm pods."""
        profile = self._profiles.get(record.profile)
        return profile if profile is not None and profile.warm is not None else None

    def request(self, record: Record, *, payload: str, overrides: str) -> PodRequest:
        """Return everything that decides how the record's pod looks.

        :raises TaskRejected: its profile is gone, or the profile's executor_config cannot be used.
        """
        profile = self._profile_of(record)
        coordinator = self._coordinator_pods.get(record.queue, _NO_COORDINATOR)
        return PodRequest(
            kind=cast(Kind, record.kind) if record.kind in get_args(Kind) else "task",
            attempt_id=record.id,
            instance=self._instance,
            queue=record.queue,
            payload=payload,
            launch=record.launch,
            moves=record.moves,
            dag_id=record.dag_id,
            task_id=record.task_id,
            run_id=record.run_id,
            try_number=record.try_number,
            map_index=record.map_index,
            overrides=Overrides.from_text(overrides),
            profile_overrides=self._overrides_of(profile),
            namespace=profile.namespace or "",
            coordinator_template_file=coordinator.template_file,
            coordinator_image=coordinator.image,
            airflow_version=self._airflow_version,
            redis_id=self._redis_id(),
        )

    def _profile_of(self, record: Record) -> Profile:
        if not record.profile:
            return DEFAULT_PROFILE
        profile = self._profiles.get(record.profile)
        if profile is None:
            raise TaskRejected(
                f"Unknown profile {record.profile!r} of queue {record.queue!r}: it is not in the agent's profiles "
                "file. Give scheduler and agent the same [hybrid_executor] profiles_file."
            )
        return profile

    def _overrides_of(self, profile: Profile) -> Overrides:
        known = self._profile_overrides.get(profile.name)
        if known is None:
            try:
                known = read_overrides(profile.executor_config)
            except TaskRejected as error:
                raise TaskRejected(f"Profile {profile.name!r}: {error}") from error
            if profile.pod_template_file:
                known = replace(known, template_file=profile.pod_template_file)
            self._profile_overrides[profile.name] = known
        return known
