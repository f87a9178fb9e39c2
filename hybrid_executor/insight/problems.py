"""What is wrong, and what to do about it. Pure: everything is decided from what was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hybrid_executor.config import Settings
from hybrid_executor.insight.cures import cure_for
from hybrid_executor.insight.durations import in_words, some
from hybrid_executor.insight.facts import Facts
from hybrid_executor.insight.members import DRAINS
from hybrid_executor.insight.queues import QueueView
from hybrid_executor.insight.slots import PoolView, SchedulerView
from hybrid_executor.insight.targets import TargetView, goes_on
from hybrid_executor.insight.unserved import find_unserved, place_of
from hybrid_executor.states import State
from hybrid_executor.store import Record

Severity = Literal["failure", "warning"]
_MOST_NOTES = 8
_LONG_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that needs a person.

    :ivar severity: ``failure``: work stands still or is lost; ``warning``: it may come to that.
    :ivar subject: what it is about, such as "queue etl". :ivar what: one sentence. :ivar cure: what to do.
    :ivar dags: the Dags whose attempts' own words it quotes.
    """

    severity: Severity
    subject: str
    what: str
    cure: str
    dags: tuple[str, ...] = ()


def find_problems(
    facts: Facts,
    settings: Settings,
    *,
    schedulers: Sequence[SchedulerView] | None,
    pools: Sequence[PoolView],
    targets: Sequence[TargetView] = (),
    queues: Sequence[QueueView] = (),
    failed: Sequence[Record] = (),
) -> list[Problem]:
    """Return the problems, failures first.

    :param schedulers: ``None`` where Airflow's database could not be asked.
    :param failed: attempts that failed lately, with reason and category.
    """
    found = [
        *(problems_of_schedulers(schedulers) if schedulers is not None else ()),
        *_of_unserved(facts, settings),
        *_of_workers(facts, settings),
        *_of_agents(facts, settings),
        *_of_pools(pools),
        *_of_targets(targets, queues, settings),
        *_of_notes(facts),
        *_of_failures(failed),
    ]
    return in_order(found)


def problems_of_members(facts: Facts, settings: Settings) -> list[Problem]:
    """Return what is wrong with workers and agents, and with work that none of them takes; failures first."""
    return in_order([*_of_unserved(facts, settings), *_of_workers(facts, settings), *_of_agents(facts, settings)])


def in_words_of(settings: Settings, problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems with options and commands as they are written for the team of these settings."""
    return [
        replace(problem, what=settings.words(problem.what), cure=settings.words(problem.cure)) for problem in problems
    ]


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return failures first, each kind in the order in which it was found."""
    return sorted(problems, key=lambda problem: problem.severity != "failure")


def problems_of_schedulers(schedulers: Sequence[SchedulerView]) -> Iterator[Problem]:
    """Yield what is wrong with schedulers; Redis need not have been asked for this."""
    if not any(scheduler.is_alive for scheduler in schedulers):
        yield Problem(
            severity="failure",
            subject="scheduler",
            what="No scheduler is alive, so no task is queued and no end of a task is noticed.",
            cure="Start one: airflow scheduler. Its log says why the last one ended.",
        )
    for scheduler in schedulers:
        owned = sum(scheduler.live.values())
        if scheduler.is_alive or not (owned or scheduler.heartbeat_age is not None):
            continue
        since = f" for {in_words(scheduler.heartbeat_age)}" if scheduler.heartbeat_age is not None else ""
        host = f" on {scheduler.hostname}" if scheduler.hostname else ""
        yield Problem(
            severity="warning",
            subject=f"scheduler {scheduler.job_id}",
            what=f"Scheduler job {scheduler.job_id}{host} has sent no heartbeat{since} and owns "
            f"{some(owned, 'live attempt')}.",
            cure="Another scheduler adopts them within some minutes ([scheduler] orphaned_tasks_check_interval); "
            "if none is alive, start one. Then airflow hybrid reconcile shows what is left."
            if owned
            else "Start it again if you need it; it is not listed any more after an hour.",
        )


def _of_unserved(facts: Facts, settings: Settings) -> Iterator[Problem]:
    waiting = [
        place_of(pool=r.pool, queue=r.queue, cluster=r.cluster, state=r.state)
        for r in facts.records
        if not goes_on(settings, r)
    ]
    for item in find_unserved(waiting, workers=facts.workers, agents=facts.agents):
        kind = "queue" if item.place.pool == "celery" else "cluster"
        cure = item.cure[0].upper() + item.cure[1:]
        yield Problem(severity="failure", subject=f"{kind} {item.place.name}", what=f"{item.what}.", cure=f"{cure}.")


def _of_workers(facts: Facts, settings: Settings) -> Iterator[Problem]:
    running = Counter(r.holder for r in facts.records if r.pool == "celery" and r.state is State.RUNNING)
    for worker in facts.workers:
        subject = f"worker {worker.name}"
        if not worker.is_alive and running[worker.name]:
            yield Problem(
                severity="failure",
                subject=subject,
                what=f"Worker {worker.name} has been silent for {in_words(worker.heartbeat_age)} and ran "
                f"{some(running[worker.name], 'task')}.",
                cure="Start it again. A task whose own heartbeat to Airflow stops too is failed as "
                f"worker lost after about {settings.worker_lost_after_seconds:g} s, and retried if it has retries.",
            )
        elif not worker.is_alive:
            yield Problem(
                severity="warning",
                subject=subject,
                what=f"Worker {worker.name} fell silent {in_words(worker.heartbeat_age)} ago; it runs nothing.",
                cure="Start it again if you need it; it is not listed any more after an hour.",
            )
        elif worker.state == "deaf":
            yield Problem(
                severity="warning",
                subject=subject,
                what=f"Worker {worker.name} takes no messages, though some wait in its queues and it has free slots.",
                cure="It connects to the broker again by itself within 30 s; if that does not help, restart it.",
            )


def _of_agents(facts: Facts, settings: Settings) -> Iterator[Problem]:
    alive = [agent for agent in facts.agents if agent.is_alive]
    with_work = {record.cluster for record in facts.records if record.pool == "kubernetes"}
    for cluster in settings.clusters if "kubernetes" in settings.routes.pools else ():
        if cluster not in with_work and not any(cluster in agent.clusters for agent in alive):
            yield Problem(
                severity="warning",
                subject=f"cluster {cluster}",
                what=f"No agent is alive for cluster {cluster}; no pod waits yet.",
                cure="Run airflow hybrid agent, or set [hybrid_executor] agent = child.",
            )
        launching = [agent for agent in alive if cluster in agent.clusters]
        if launching and all(agent.state in DRAINS for agent in launching):
            names = ", ".join(agent.name for agent in launching)
            yield Problem(
                severity="failure" if cluster in with_work else "warning",
                subject=f"cluster {cluster}",
                what=f"All agents of cluster {cluster} are drained ({names}), so new pods wait.",
                cure="Let one launch again: airflow hybrid agent-drain --undo. Or start another: airflow hybrid agent.",
            )
    watched = {place for agent in alive for place in agent.watches}
    for place in sorted({place for agent in alive for place in agent.places} - watched):
        yield Problem(
            severity="warning",
            subject=f"namespace {place}",
            what=f"No agent watches {place} now, so nobody notices what its pods do.",
            cure=f"An agent takes over within {settings.agent_lease_seconds:g} s; if none does, see the agents' logs.",
        )
    for agent in facts.agents:
        if not agent.is_alive:
            yield Problem(
                severity="warning",
                subject=f"agent {agent.name}",
                what=f"Agent {agent.name} ended unexpectedly {in_words(agent.heartbeat_age)} ago.",
                cure="Other agents take over its work. Start it again if none is left; it is not listed any more "
                "after an hour."
                if alive
                else "Start it again: airflow hybrid agent.",
            )
    for place, pod in sorted({item for agent in alive for item in agent.clashes.items()}):
        yield Problem(
            severity="warning",
            subject=place,
            what=f"{place} has pods of another deployment whose instance is also {settings.instance}, such as {pod}. "
            "They are not touched.",
            cure="Set a different [hybrid_executor] instance in each deployment.",
        )


def _of_pools(pools: Sequence[PoolView]) -> Iterator[Problem]:
    for pool in pools:
        if not pool.full:
            continue
        verb = "waits" if pool.queued == 1 else "wait"
        waits = f"; {some(pool.queued, 'task')} {verb} in Airflow as queued" if pool.queued else ""
        yield Problem(
            severity="warning",
            subject=f"pool {pool.name}",
            what=f"Pool {pool.name} is full: {pool.occupied} of {pool.limit} slots are used{waits}.",
            cure=f"Wait until tasks end, or raise [hybrid_executor] {pool.name}_parallelism (or [core] parallelism) "
            "and restart the schedulers.",
        )


def _of_targets(targets: Sequence[TargetView], queues: Sequence[QueueView], settings: Settings) -> Iterator[Problem]:
    """Yield the routes whose targets are all closed while tasks wait for one."""
    for route in settings.routes.routes:
        own = [view for view in targets if view.route == route.pattern]
        waiting = sum(queue.queued for queue in queues if settings.routes.find(queue.name) is route)
        if not waiting or not own or not all(view.closed for view in own):
            continue
        closed = "; ".join(f"{view.target}: {view.closed}" for view in own)
        verb = "waits" if waiting == 1 else "wait"
        yield Problem(
            severity="warning",
            subject=f"route {route.pattern}",
            what=f"No target of route {route.pattern} takes anything now ({closed}); {some(waiting, 'task')} {verb} in "
            "Airflow as queued.",
            cure="Wait until tasks end, raise max in [hybrid_executor] routes, or add a target without a limit.",
        )


def _of_notes(facts: Facts) -> Iterator[Problem]:
    """Yield what keeps attempts from starting, the most frequent first."""
    noted = [record for record in facts.records if record.note and not record.state.is_started]
    oldest: dict[tuple[str, str, str], float] = {}
    counts: Counter[tuple[str, str, str]] = Counter()
    dags: dict[tuple[str, str, str], set[str]] = {}
    for record in noted:
        key = (record.queue, record.note, record.category)
        dags.setdefault(key, set()).add(record.dag_id)
        counts[key] += 1
        oldest[key] = max(oldest.get(key, 0.0), facts.age(record.submitted_at))
    for (queue, note, category), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_NOTES]:
        yield Problem(
            severity="warning",
            subject=f"queue {queue}",
            what=f"{some(count, 'attempt')} of queue {queue} cannot start, the first for "
            f"{in_words(oldest[queue, note, category])}: {note}",
            cure=cure_for(category, note),
            dags=tuple(sorted(dags[queue, note, category])),
        )


def _of_failures(failed: Sequence[Record]) -> Iterator[Problem]:
    """Yield why attempts failed lately, but for tasks that ran and failed by themselves."""
    of_us = [record for record in failed if record.reason and record.category not in ("exit_nonzero", "")]
    counts = Counter((record.category, record.queue) for record in of_us)
    for (category, queue), count in counts.most_common(_MOST_NOTES):
        latest = next(record for record in of_us if (record.category, record.queue) == (category, queue))
        yield Problem(
            severity="warning",
            subject=f"queue {queue}",
            what=f"{some(count, 'attempt')} of queue {queue} failed in the last 15 minutes; the last one: "
            f"{latest.reason}",
            cure=cure_for(category, latest.reason),
            dags=(latest.dag_id,),
        )
