"""What behaves differently afterwards, although its configuration is the same. A table; each row has its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hybrid_executor.migration.configuration import Configuration
from hybrid_executor.migration.finding import Finding


@dataclass(frozen=True)
class Behaviour:
    """One difference.

    :ivar of: the pools that it concerns.
    """

    of: tuple[str, ...]
    subject: str
    what: str
    instead: str
    why: str
    documented: str


_ALL = ("celery", "kubernetes", "local")
BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour(
        ("celery",),
        "workers",
        "'airflow celery worker' does not run tasks of this executor",
        "stop these workers and start 'airflow hybrid worker', which has the same options",
        "a worker claims each attempt in Redis before it runs it, so none runs twice",
        "docs/workers.md",
    ),
    Behaviour(
        ("celery",),
        "results",
        "there is no result backend",
        "nothing; the tables celery_taskmeta and celery_tasksetmeta can be dropped later",
        "workers write the end of each task to Redis, and schedulers read it there without polling",
        "docs/architecture.md",
    ),
    Behaviour(
        ("celery",),
        "broker unavailable",
        "a message that cannot be sent waits; it does not fail its task after task_publish_max_retries",
        "",
        "the broker usually comes back",
        "docs/workers.md#brokers",
    ),
    Behaviour(
        ("kubernetes",),
        "who creates pods",
        "a process beside the scheduler, the agent, creates and watches pods; the scheduler makes no call",
        "give its account the rights in workers/manifests/rbac.yaml",
        "a slow or broken API server cannot stop the scheduler",
        "docs/architecture.md",
    ),
    Behaviour(
        ("kubernetes",),
        "how many pods are created",
        "pods are created in parallel; worker_pods_creation_batch_size below 16 does not limit that",
        "[hybrid_executor] pod_creation_rate and starting_pods are limits for all agents together",
        "creation is not part of the scheduler's loop",
        "docs/pods.md#many-pods-at-once",
    ),
    Behaviour(
        ("kubernetes",),
        "labels of pods",
        "pods have hybrid-executor/ labels; kubernetes_executor=True and airflow-worker are missing",
        "change dashboards, network policies and scripts that select pods by these two",
        "an executor of Airflow in the same namespace would take over and delete pods with them",
        "docs/pods.md#two-deployments-in-one-namespace",
    ),
    Behaviour(
        ("kubernetes",),
        "the pod",
        "restartPolicy Always becomes Never; containers are merged by name; the task's container is named base",
        "",
        "with Always, a task that has ended would run again",
        "docs/pods.md#differences-from-upstreams-pods",
    ),
    Behaviour(
        ("kubernetes",),
        "commands",
        "'airflow kubernetes cleanup-pods' and 'generate-dag-yaml' do not know these pods",
        "use 'airflow hybrid cleanup-pods' and 'airflow hybrid pod-yaml'",
        "the pods have other labels",
        "docs/pods.md",
    ),
    Behaviour(
        _ALL,
        "limits",
        "each pool has [core] parallelism slots of its own",
        "set celery_parallelism, kubernetes_parallelism or local_parallelism in [hybrid_executor] for other limits",
        "a full pool must not stop the other one",
        "docs/configuration.md#hybrid_executor",
    ),
    Behaviour(
        _ALL,
        "running tasks during the change",
        "a new scheduler does not adopt tasks of the other executor: it submits those that are queued again; running "
        "tasks of Airflow 3 go on as long as they send heartbeats",
        "from Airflow 2, wait until nothing runs before you change the executor",
        "their state is not in Redis, and tasks of Airflow 2 cannot report to Airflow 3",
        "docs/migration.md#step-by-step",
    ),
)


def _idle_sleep(configured: str | None) -> Iterator[Finding]:
    """Yield what the scheduler's pause between two loops costs, unless there is none."""
    if (configured or "1").strip() in ("0", "0.0"):
        return
    yield Finding(
        kind="behaviour",
        subject="start of the next task",
        what="[scheduler] scheduler_idle_sleep_time = " + (configured or "1 (the default)") + ": works as before",
        instead="set it to 0, and the next task starts as soon as the one before it has ended",
        why="an idle scheduler then waits for the end of a task instead of sleeping",
        documented="docs/configuration.md#hybrid_executor",
    )


def _retries(configured: str | None) -> Finding:
    """Return what happens if a pod is refused for now. Airflow writes its default, 0, into the files it generates."""
    option = "[kubernetes_executor] task_publish_max_retries"
    is_off = (configured or "").strip() == "0"
    return Finding(
        kind="behaviour",
        subject="creation of a pod that is refused for now",
        what=f"{option} is 0: as before, a quota, throttling or a server error fails the task at once"
        if is_off
        else "quota, throttling and server errors are retried as long as the task may be queued",
        instead="remove the option, and such tasks wait" if is_off else f"{option} limits that",
        why="such refusals end by themselves",
        documented="docs/pods.md#pods-that-wait",
    )


def behaviours(
    pools: frozenset[str], configuration: Configuration, *, has_named: bool, is_alone: bool
) -> Iterator[Finding]:
    """Return what changes for a deployment with these pools.

    :param has_named: tasks may have named their executor, since there were several.
    :param is_alone: no other executor stays beside ours.
    """
    if has_named:
        yield Finding(
            kind="behaviour",
            subject="unfinished runs",
            what="tasks that already exist in a run keep the executor that they named, and stay in the state scheduled",
            instead="let such runs end first, or clear these tasks afterwards: then they get their new queue",
            why="Airflow stores executor and queue of a task when its run begins",
            documented="docs/migration.md#step-by-step",
        )
    if "kubernetes" in pools:
        yield _retries(configuration.get("kubernetes_executor", "task_publish_max_retries"))
    if is_alone:
        yield from _idle_sleep(configuration.get("scheduler", "scheduler_idle_sleep_time"))
    for row in BEHAVIOURS:
        if pools.intersection(row.of):
            yield Finding(
                kind="behaviour",
                subject=row.subject,
                what=row.what,
                instead=row.instead,
                why=row.why,
                documented=row.documented,
            )
