"""What is shown of the whole executor, and to whom. How many rows there are does not depend on how much there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybrid_executor.config import Settings
from hybrid_executor.insight.attempts import AttemptFilter, AttemptView, read_attempts
from hybrid_executor.insight.overview import Overview, read_overview
from hybrid_executor.plugin.page import access
from hybrid_executor.plugin.page.actions import actions_for
from hybrid_executor.store import Store

MOST_ROWS = 50
_MOST_MEMBERS = 100
_MOST_NAMES = 10
_MOST_FAILURES = 20
_ALL = 1_000_000
_WAITING = frozenset({"submitted", "launching", "pending", "lost"})


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What was read of the executor. Does not depend on who looks at it.

    :ivar live: the live attempts, those that have been in their state for longest first.
    :ivar failed: attempts that failed lately, the newest first.
    """

    settings: Settings
    overview: Overview
    live: Sequence[AttemptView] = ()
    failed: Sequence[AttemptView] = ()


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The attempts of a table.

    :ivar total: how many there are. :ivar more: how many more the user may read.
    :ivar hidden: how many belong to Dags that the user may not read.
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
    overview = read_overview(store, settings)
    live = read_attempts(store, AttemptFilter(), limit=_ALL)
    failed = read_attempts(store, AttemptFilter(failed=True), limit=10 * _MOST_FAILURES)
    return Picture(settings=settings, overview=overview, live=live, failed=failed)


def fit_picture(picture: Picture, user: access.User) -> Mapping[str, Any]:
    """Return what a user sees. Asks Airflow's auth manager, and through it perhaps the database."""
    attempts = [*picture.live, *picture.failed]
    dags = access.readable_dags(user, {attempt.dag_id for attempt in attempts if attempt.kind == "task"})
    may_operate = access.may_operate(user)

    def is_readable(attempt: AttemptView) -> bool:
        return attempt.dag_id in dags if attempt.kind == "task" else may_operate

    overview, pools = picture.overview, picture.settings.routes.pools
    by_id = {attempt.id: attempt for attempt in picture.live if attempt.state == "running"}
    return {
        "overview": overview,
        "problems": overview.problems,
        "hidden_problems": 0,
        "queues": overview.queues[:_MOST_MEMBERS],
        "workers": [_worker(view, by_id, is_readable) for view in overview.workers[:_MOST_MEMBERS]],
        "agents": [_agent(view) for view in overview.agents[:_MOST_MEMBERS]],
        "needs_workers": "celery" in pools,
        "needs_agents": "kubernetes" in pools,
        "may_operate": may_operate,
        "waiting": choose_rows([a for a in picture.live if a.state in _WAITING], is_readable, most=MOST_ROWS),
        "failures": choose_rows(picture.failed, is_readable, most=_MOST_FAILURES),
    }


def choose_rows(
    attempts: Sequence[AttemptView], is_readable: Callable[[AttemptView], bool], *, most: int = MOST_ROWS
) -> Rows:
    """Return the first attempts that a user may read, and how many others there are. Pure."""
    readable = [attempt for attempt in attempts if is_readable(attempt)]
    return Rows(
        rows=readable[:most],
        total=len(attempts),
        more=max(0, len(readable) - most),
        hidden=len(attempts) - len(readable),
    )


def _worker(
    view: Any, by_id: Mapping[str, AttemptView], is_readable: Callable[[AttemptView], bool]
) -> Mapping[str, Any]:
    known = [by_id[attempt] for attempt in view.running if attempt in by_id]
    runs = [attempt for attempt in known if is_readable(attempt)][:_MOST_NAMES]
    return {
        "view": view,
        "runs": runs,
        "others": len(view.running) - len(runs),
        "actions": actions_for("worker", view.state),
    }


def _agent(view: Any) -> Mapping[str, Any]:
    return {"view": view, "launches": sum(view.in_flight.values()), "actions": actions_for("agent", view.state)}
