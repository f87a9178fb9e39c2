"""Teams of Airflow's multi-team mode: of a Dag, and of the tasks that one executor gets.

Airflow gives a Dag to a team through its bundle. Releases without the multi-team mode have no tables for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import TYPE_CHECKING, Any, Protocol

from hybrid_executor.compat import tables

if TYPE_CHECKING:
    from airflow.executors.base_executor import BaseExecutor
    from sqlalchemy import ColumnElement


class Share(Protocol):
    """Which tasks one executor gets; see :class:`hybrid_executor.config.teams.Share`."""

    @property
    def team(self) -> str:
        """Whose executor it is, "" for all teams."""

    @property
    def is_default(self) -> bool:
        """It gets the tasks that name no executor."""

    @property
    def names(self) -> frozenset[str]:
        """What a task may write to get this executor."""

    @property
    def teams(self) -> frozenset[str]:
        """The teams with executors of their own."""


def is_given_to(share: Share, *, dag_id: Any, executor: Any) -> ColumnElement[bool]:
    """Return the condition that Airflow's scheduler gives a task to an executor.

    :param dag_id, executor: columns of the task instance.
    """
    from sqlalchemy import and_, false, or_

    is_named = executor.in_(share.names)
    by_default = executor.is_(None) if share.is_default else false()
    if share.team:
        return and_(dag_id.in_(_dags_of([share.team])), or_(by_default, is_named))
    return or_(is_named, and_(by_default, dag_id.not_in(_dags_of(share.teams))))


def _dags_of(teams: Iterable[str]) -> Any:
    from sqlalchemy import select

    dags, bundles = tables.DAG.c, tables.BUNDLE_TEAM.c
    return (
        select(dags.dag_id)
        .join_from(tables.DAG, tables.BUNDLE_TEAM, dags.bundle_name == bundles.dag_bundle_name)
        .where(bundles.team_name.in_(sorted(teams)))
    )


def team_of_dag(dag_id: str) -> str:
    """Return the team of a Dag, "" for none."""
    from sqlalchemy import select

    from hybrid_executor.compat.database import own_session

    dags, bundles = tables.DAG.c, tables.BUNDLE_TEAM.c
    query = (
        select(bundles.team_name)
        .join_from(tables.DAG, tables.BUNDLE_TEAM, dags.bundle_name == bundles.dag_bundle_name)
        .where(dags.dag_id == dag_id)
    )
    with own_session() as session:
        return str(session.scalar(query) or "")


def all_teams() -> Set[str]:
    """Return the teams in Airflow's database."""
    from sqlalchemy import select

    from hybrid_executor.compat.database import own_session

    with own_session() as session:
        return set(session.scalars(select(tables.TEAM.c.name)))


def create_missing_teams(names: Iterable[str]) -> None:
    """Create those of the teams that Airflow's database does not have."""
    from sqlalchemy import insert

    from hybrid_executor.compat.database import own_session

    missing = sorted(set(names) - all_teams())
    if missing:
        with own_session() as session:
            session.execute(insert(tables.TEAM), [{"name": name} for name in missing])
            session.commit()


def assigns_ids(executor: BaseExecutor) -> bool:
    """Return whether the scheduler gives each task of an executor a new id at each queueing.

    Airflow gives one to all tasks if all executors ask for it. Otherwise a task that names no executor gets one only if
    the default executor of all teams asks for it, whatever its team. Then a task of a team still has the id of an
    earlier queueing.
    """
    from airflow.executors.executor_loader import ExecutorLoader

    if executor.name is None or not getattr(executor, "team_name", None):
        return True
    classes = [ExecutorLoader.import_executor_cls(name)[0] for name in ExecutorLoader.get_executor_names()]
    return all(getattr(one, "pre_assigns_external_executor_id", False) for one in classes)
