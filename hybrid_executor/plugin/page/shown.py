"""What is shown of the whole executor, and to whom.

However many attempts there are, few fields are read of each of them, and everything of a thousand at most.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybrid_executor.config import Settings
from hybrid_executor.events import AttemptId
from hybrid_executor.insight.attempts import FIELDS, AttemptView, view_attempt
from hybrid_executor.insight.members import AgentView, WorkerView
from hybrid_executor.insight.overview import Overview, read_with_facts
from hybrid_executor.insight.problems import Problem
from hybrid_executor.plugin.page import access
from hybrid_executor.plugin.page.actions import actions_for
from hybrid_executor.states import State
from hybrid_executor.store import Record, Store

MOST_ROWS = 50
_MOST_MEMBERS = 100
_MOST_NAMES = 10
_MOST_FAILURES = 20
_READ_WAITING = 500
_READ_FAILED = 200
_WAITING = frozenset({State.SUBMITTED, State.LAUNCHING, State.PENDING, State.LOST})


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What was read of the executor. Does not depend on who looks at it.

    :ivar waiting: the attempts that wait, those that were submitted first come first; few fields of each.
    :ivar details: all fields of some of them and of some that run, by id.
    :ivar failed: attempts that failed lately, the newest first.
    """

    settings: Settings
    overview: Overview
    waiting: Sequence[Record] = ()
    details: Mapping[str, AttemptView]
    failed: Sequence[AttemptView] = ()


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The attempts of a table.

    :ivar total: how many there are. :ivar more: how many more of them the user may read.
    :ivar hidden: how many of them the user may not read.
    """

    rows: Sequence[AttemptView]
    total: int
    more: int
    hidden: int


def read_picture(settings: Settings, store: Store) -> Picture:
    """Read how the executor stands.

    :raises StoreUnavailable: Redis cannot be asked. One that only refuses writes is a problem in the overview.
    """
    store.ping()
    overview, facts = read_with_facts(store, settings)
    waiting = sorted((r for r in facts.records if r.state in _WAITING), key=lambda record: record.submitted_at)
    running = [AttemptId(name) for w in overview.workers[:_MOST_MEMBERS] for name in w.running[:_MOST_NAMES]]
    wanted = [*choose_first(waiting, most=_READ_WAITING), *running]
    failed = store.view.recent(FIELDS, states=(State.FAILED,), most=_READ_FAILED)
    return Picture(
        settings=settings,
        overview=overview,
        waiting=waiting,
        details={r.id: view_attempt(r, now=facts.now) for r in store.view.records(wanted, FIELDS)},
        failed=[view_attempt(record, now=facts.now) for record in failed if record.state is State.FAILED],
    )


def choose_first(waiting: Iterable[Record], *, most: int) -> list[AttemptId]:
    """Return the ids of the first attempts of each Dag, so that one Dag's thousands do not hide another's few. Pure."""
    by_dag: dict[str, list[AttemptId]] = defaultdict(list)
    for record in waiting:
        by_dag[record.dag_id].append(record.id)
    each = max(1, min(MOST_ROWS, most // max(1, len(by_dag))))
    return [attempt for attempts in by_dag.values() for attempt in attempts[:each]][:most]


def fit_picture(picture: Picture, user: access.User) -> Mapping[str, Any]:
    """Return what a user sees. Asks Airflow's auth manager, and through it perhaps the database."""
    overview, pools = picture.overview, picture.settings.routes.pools
    attempts: list[Record | AttemptView] = [*picture.waiting, *picture.details.values(), *picture.failed]
    of_tasks = {attempt.dag_id for attempt in attempts if attempt.kind == "task"}
    quoted = {dag for problem in overview.problems for dag in problem.dags if dag}
    dags = access.readable_dags(user, of_tasks | quoted)
    may_operate = access.may_operate(user, picture.settings.team)

    def is_readable(attempt: Record | AttemptView) -> bool:
        return attempt.dag_id in dags if attempt.kind == "task" else may_operate

    def is_told(problem: Problem) -> bool:
        return not problem.dags or any(dag in dags if dag else may_operate for dag in problem.dags)

    problems = [problem for problem in overview.problems if is_told(problem)]
    waiting = [attempt for attempt in picture.waiting if is_readable(attempt)]
    shown = [picture.details[attempt.id] for attempt in waiting if attempt.id in picture.details][:MOST_ROWS]
    failed = [attempt for attempt in picture.failed if is_readable(attempt)]
    return {
        "overview": overview,
        "team": picture.settings.team,
        "words": picture.settings.words,
        "problems": problems,
        "hidden_problems": len(overview.problems) - len(problems),
        "queues": overview.queues[:_MOST_MEMBERS],
        "targets": overview.targets[:_MOST_MEMBERS],
        "shares": picture.settings.shares.shares,
        "workers": [_worker(view, picture.details, is_readable) for view in overview.workers[:_MOST_MEMBERS]],
        "agents": [_agent(view) for view in overview.agents[:_MOST_MEMBERS]],
        "needs_workers": "celery" in pools,
        "needs_agents": "kubernetes" in pools,
        "may_operate": may_operate,
        "waiting": _count(shown, readable=len(waiting), total=len(picture.waiting)),
        "failures": _count(failed[:_MOST_FAILURES], readable=len(failed), total=len(picture.failed)),
    }


def _count(rows: Sequence[AttemptView], *, readable: int, total: int) -> Rows:
    return Rows(rows=rows, total=total, more=readable - len(rows), hidden=total - readable)


def _worker(
    view: WorkerView, details: Mapping[str, AttemptView], is_readable: Callable[[AttemptView], bool]
) -> Mapping[str, Any]:
    known = [details[attempt] for attempt in view.running[:_MOST_NAMES] if attempt in details]
    runs = [attempt for attempt in known if is_readable(attempt)]
    return {
        "view": view,
        "runs": runs,
        "others": len(view.running) - len(runs),
        "actions": actions_for("worker", view.state),
    }


def _agent(view: AgentView) -> Mapping[str, Any]:
    return {"view": view, "launches": sum(view.in_flight.values()), "actions": actions_for("agent", view.state)}
