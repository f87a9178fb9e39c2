"""``airflow hybrid pod-yaml``: the pods that tasks would get, after routes, profile, executor_config and hook.

It uses the code of the agents, so it shows the pods that an agent would create. Dags are read from Airflow's database,
as the scheduler reads them. No token is made, Redis is not used, and a cluster only with ``--check``.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from hybrid_executor import compat
from hybrid_executor.agent.launch.mutation_hook import airflow_config_folder, load_mutation_hook
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.config import DEFAULT_PROFILE, Profile, Settings, process_config
from hybrid_executor.config.kubernetes import KubernetesSettings, read_kubernetes_settings
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.errors import HybridError, KubeError, TaskRejected
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.kube.client import KubeClient, connect
from hybrid_executor.pools.kubernetes import KubernetesPool
from hybrid_executor.pools.work import Work
from hybrid_executor.states import State
from hybrid_executor.store import Record

TOKEN = "<token>"
RUN_ID = "example-run"


@dataclass(frozen=True)
class Planned:
    """A task's pod, or the reason why there is none.

    :ivar is_wrong: the task should have a pod, but it cannot be made or is refused.
    :ivar profile: names the cluster of the pod.
    """

    title: str
    pod: dict[str, Any] | None
    is_wrong: bool = False
    profile: Profile = DEFAULT_PROFILE


@plainly
def pod_yaml(args: Namespace) -> int:
    """Print a Dag's pods, or one task's, or write them to a file."""
    tasks = _find_tasks(args.dag_id, args.task_id)
    conf = process_config()
    settings = read_configured_settings(conf)
    hook = load_mutation_hook(
        config_folder=airflow_config_folder(), plugins_folder=str(conf.get("core", "plugins_folder", fallback="") or "")
    )
    kubernetes = read_kubernetes_settings(conf)
    factory = PodFactory(
        kubernetes,
        instance=settings.instance,
        profiles=settings.profiles,
        hook=hook,
        airflow_version=compat.airflow_version(),
        coordinator_pods=settings.coordinator_pods,
        pod_token=settings.pod_token,
        wait_seconds=settings.workload_wait_seconds,
    )
    default_queue = str(conf.get("operators", "default_queue", fallback="default"))
    planned = [
        plan_pod(
            task,
            settings=settings,
            build=lambda record, payload, overrides: factory.build(record, payload=payload, overrides=overrides).pod,
            default_queue=default_queue,
            run_id=args.run_id,
            map_index=args.map_index,
        )
        for task in tasks
    ]
    if getattr(args, "check", False):
        for words in factory.findings():
            print(f"airflow hybrid: {words}", file=sys.stderr)
        planned = check_pods(planned, kubernetes)
    text = to_yaml(planned)
    if args.output:
        Path(args.output).write_text(text, encoding="utf-8")
        print(f"{sum(item.pod is not None for item in planned)} pods written to {args.output}")
    else:
        print(text, end="")
    return 1 if any(item.is_wrong for item in planned) else 0


def plan_pod(
    task: compat.PlannedTask,
    *,
    settings: Settings,
    build: Callable[[Record, str, str], dict[str, Any]],
    default_queue: str,
    run_id: str = RUN_ID,
    map_index: int | None = None,
) -> Planned:
    """Return the pod of a task's first try on the first target with pods, or the reason why there is none.

    :param build: makes a pod from record, payload and overrides.
    :param map_index: of a mapped task; None for 0.
    """
    queue = task.queue or default_queue
    route = settings.routes.find(queue)
    index = (map_index or 0) if task.is_mapped else -1
    mapped = f"[{index}]" if task.is_mapped else ""
    target = next((target for target in route.targets if target.pool == "kubernetes"), None)
    title = f"task {task.task_id}{mapped}: queue {queue} goes to {target.pool if target else route.pool} by {route}"
    if target is None:
        return Planned(f"{title}: no pod", None)
    workload = compat.make_example_workload(task, queue=queue, run_id=run_id, map_index=index, token=TOKEN)
    read = compat.read_workload(workload)
    attempt = AttemptId(read.pre_assigned_id)
    profile = settings.profile_of(target)
    work = Work(
        attempt=attempt,
        owner=OwnerId("0"),
        kind="task",
        workload_id=read.id,
        queue=queue,
        payload=workload.model_dump_json(),
        executor_config=task.executor_config,
        profile=profile,
        fields=read.fields,
    )
    try:
        submission = KubernetesPool().prepare(work)
        record = Record(
            id=attempt,
            state=State.SUBMITTED,
            generation=1,
            dag_id=task.dag_id,
            task_id=task.task_id,
            run_id=run_id,
            try_number=1,
            map_index=index,
            queue=queue,
            profile=profile.name,
        )
        pod = build(record, submission.payload, submission.overrides)
    except TaskRejected as error:
        return Planned(f"{title}: this task would fail. {error}", None, is_wrong=True)
    return Planned(f"{title}, cluster {profile.cluster}", pod, profile=profile)


def check_pods(planned: Sequence[Planned], kubernetes: KubernetesSettings) -> list[Planned]:
    """Let the cluster of each pod check it (dry run, strict validation); return the plans with the answers.

    :raises ConfigError: the address of a cluster is not configured.
    """
    clients: dict[str, KubeClient] = {}
    checked = []
    for item in planned:
        if item.pod is None:
            checked.append(item)
            continue
        profile = item.profile
        if profile.cluster not in clients:
            clients[profile.cluster] = connect(
                kubernetes,
                context=profile.cluster_context,
                config_file=profile.config_file,
                in_cluster=profile.in_cluster,
            )
        checked.append(_check(item, item.pod, clients[profile.cluster], kubernetes))
    for client in clients.values():
        client.close()
    return checked


def _check(item: Planned, pod: dict[str, Any], client: KubeClient, kubernetes: KubernetesSettings) -> Planned:
    heard = client.transport.warnings.texts
    before = len(heard)
    try:
        client.dry_run_pod(pod["metadata"].get("namespace") or kubernetes.namespace, pod)
    except KubeError as error:
        is_pod_wrong = error.status in (400, 422)
        words = "the cluster refuses this pod" if is_pod_wrong else "the cluster cannot check this pod"
        return replace(item, title=f"{item.title}\n{words}: {error}", is_wrong=True)
    warnings = "".join(f"\nthe cluster warns: {text}" for text in heard[before:])
    return replace(item, title=f"{item.title}\nthe cluster accepts this pod{warnings}")


def to_yaml(planned: Sequence[Planned]) -> str:
    """Return one YAML document per pod, and a comment for each task without a pod."""
    parts = []
    for item in planned:
        title = "".join(f"# {line}\n" for line in item.title.splitlines())
        body = "" if item.pod is None else "---\n" + yaml.safe_dump(item.pod, sort_keys=False, allow_unicode=True)
        parts.append(title + body)
    return "".join(parts)


def _find_tasks(dag_id: str, task_id: str | None) -> list[compat.PlannedTask]:
    """Return all tasks of the Dag, or the task with this id.

    :raises HybridError: unknown Dag or task.
    """
    tasks = compat.read_planned_tasks(dag_id)
    if tasks is None:
        raise HybridError(
            f"Unknown Dag {dag_id!r}: check its name, or wait until the Dag processor has read it "
            "('airflow dags reserialize' reads all Dags now)."
        )
    found = [task for task in tasks if task_id in (None, task.task_id)]
    if not found:
        names = ", ".join(task.task_id for task in tasks)
        raise HybridError(f"Unknown task {task_id!r}: the tasks of the Dag {dag_id!r} are {names}.")
    return found
