"""What the announcements of schedulers, workers and agents mean. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hybrid_executor.doctor.airflow_checks import HERE
from hybrid_executor.doctor.findings import Finding, failure, ok, warning
from hybrid_executor.insight.members import AgentView, WorkerView
from hybrid_executor.insight.problems import Problem
from hybrid_executor.store import Member

_ONE_DEPLOYMENT = "one deployment"
_CHECKS = {"queue": "queues", "cluster": "agents", "worker": "workers", "agent": "agents", "namespace": "agents"}
_VERSIONS = {"version": "airflow-hybrid-executor", "airflow": "Airflow", "celery": "Celery"}


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Everybody who has announced itself in the last day."""

    schedulers: Sequence[Member] = ()
    workers: Sequence[Member] = ()
    agents: Sequence[Member] = ()

    @property
    def living(self) -> list[Member]:
        """All whose announcement has not expired."""
        return [member for member in (*self.schedulers, *self.workers, *self.agents) if member.is_alive]

    def announced(self, field: str) -> dict[str, str]:
        """Return a field of all living members that announce it, by role and name."""
        return {title_of(member): member.fields[field] for member in self.living if member.fields.get(field)}


def title_of(member: Member) -> str:
    """Return a member's role and name, for people."""
    return f"{member.role} {member.name}"


def judge_schedulers(crew: Crew) -> Finding:
    """Say which schedulers are alive."""
    names = [member.name for member in crew.schedulers if member.is_alive]
    if names:
        return ok("schedulers", f"{len(names)} alive (job {', '.join(names)})")
    return warning(
        "schedulers",
        "no scheduler with this executor has announced itself in the last 45 s: nothing is queued",
        "start airflow scheduler; an older release of this package does not announce itself",
    )


def judge_problems(problems: Sequence[Problem]) -> list[Finding]:
    """Return the findings for what is wrong with workers, agents and waiting work."""
    return [
        Finding(
            level=problem.severity,
            check=_CHECKS.get(problem.subject.partition(" ")[0], _ONE_DEPLOYMENT),
            what=problem.what.rstrip("."),
            cure=problem.cure.rstrip("."),
        )
        for problem in problems
    ]


def judge_queues(routed: Sequence[str], problems: Sequence[Problem], workers: Sequence[WorkerView]) -> list[Finding]:
    """Say which queues that are known by name no living worker serves, though no task waits in them yet.

    :param routed: the queues that routes and configuration name.
    :param problems: those that are reported already.
    """
    reported = {problem.subject for problem in problems}
    served = {queue for worker in workers if worker.is_alive for queue in worker.queues}
    found = [
        _judge_queue(queue, workers) for queue in routed if queue not in served and f"queue {queue}" not in reported
    ]
    known = [queue for queue in routed if queue in served]
    if known:
        found.append(ok("queues", f"a living worker serves each of: {', '.join(known)}"))
    return found


def _judge_queue(queue: str, workers: Sequence[WorkerView]) -> Finding:
    drained = [worker.name for worker in workers if worker.is_alive and queue in worker.paused_queues]
    run = f"run airflow hybrid worker --queues {queue}"
    if drained:
        what = f"queue {queue} is served only by workers that drain: {_listed(drained)}; no task waits in it yet"
        return warning("queues", what, f"airflow hybrid drain {drained[0]} --undo, or {run}")
    what = f"no living worker serves queue {queue}, which the routes name; no task waits in it yet"
    return warning("queues", what, f"{run}, or route the queue elsewhere in [hybrid_executor] routes")


def judge_workers(workers: Sequence[WorkerView]) -> Iterator[Finding]:
    """Say which workers are alive, and which of them take no new tasks because somebody said so."""
    living = [worker for worker in workers if worker.is_alive]
    if living:
        yield ok("workers", f"{_listed([worker.name for worker in living])}: alive")
    for worker in living:
        if worker.state in ("draining", "drained"):
            cure = f"airflow hybrid drain {worker.name} --undo, or stop it"
            yield warning("workers", f"{worker.name} is {worker.state}: it takes no new tasks", cure)


def judge_agents(clusters: Sequence[str], agents: Sequence[AgentView]) -> Iterator[Finding]:
    """Say which agents are alive for each cluster."""
    for cluster in clusters:
        names = [agent.name for agent in agents if agent.is_alive and cluster in agent.clusters]
        if names:
            yield ok("agents", f"cluster {cluster}: {_listed(names)}")


def judge_versions(crew: Crew, own: Mapping[str, str]) -> list[Finding]:
    """Say which versions differ between components.

    :param own: the versions of this process.
    """
    found = []
    for field, title in _VERSIONS.items():
        told = {**crew.announced(field), **({HERE: own[field]} if own.get(field) else {})}
        groups: dict[str, list[str]] = {}
        for who, version in sorted(told.items()):
            groups.setdefault(version, []).append(who)
        if len(groups) > 1:
            each = "; ".join(f"{version}: {_listed(who)}" for version, who in sorted(groups.items()))
            found.append(
                warning(
                    "versions", f"{title} differs ({each})", "install the same release everywhere, one part at a time"
                )
            )
    shown = ", ".join(f"{title} {own[field]}" for field, title in _VERSIONS.items() if own.get(field))
    return found or [ok("versions", f"the same in all components: {shown}")]


def judge_deployments(crew: Crew, own_database: str, instance: str) -> Iterator[Finding]:
    """Look for a second deployment that uses the same instance name in this Redis.

    :param own_database: the fingerprint of this process's database, "" where none is set here.
    """
    prints = crew.announced("database")
    if own_database:
        prints[HERE] = own_database
    of_schedulers = {who: text for who, text in prints.items() if who == HERE or who.startswith("scheduler ")}
    groups: dict[str, list[str]] = {}
    for who, text in sorted(of_schedulers.items()):
        groups.setdefault(text, []).append(who)
    if len(groups) > 1:
        told = "; ".join(f"{_listed(who)} (database {text})" for text, who in groups.items())
        yield failure(
            _ONE_DEPLOYMENT,
            f"different databases of Airflow use instance {instance} in this Redis: {told}. Each scheduler ends the "
            "tasks of the other as unknown",
            "set a different [hybrid_executor] instance in each deployment. If it is one database under two addresses, "
            "write the same [database] sql_alchemy_conn",
        )
    else:
        yield ok(_ONE_DEPLOYMENT, f"one database of Airflow uses instance {instance} in this Redis")


def _listed(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
