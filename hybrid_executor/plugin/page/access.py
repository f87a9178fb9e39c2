"""Who may see and do what: each question goes to Airflow's auth manager.

=====================  ==============================================================================================
what                   permission
=====================  ==============================================================================================
the page               the view ``CLUSTER_ACTIVITY``: it is what the UI's home page needs to show schedulers and slots
a tab                  to read the task instances of its Dag
a row about a task     the same, and its Dag is one that the user may read
the page of a team     the same, and the auth manager says that the user belongs to the team
workers and agents     to edit Airflow's pools. Whoever may set a pool to 0 slots may stop all tasks from starting
                       already, which is what draining workers does. Auth managers give it to those who operate Airflow
revoking an attempt    to edit the task instances of its Dag, as for marking a task as failed
=====================  ==============================================================================================
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    AccessView,
    DagAccessEntity,
    DagDetails,
    PoolDetails,
)
from airflow.api_fastapi.core_api.security import requires_access_dag, requires_access_view
from airflow.models.dag import DagModel

User = Any
"""A user of the auth manager in use."""

sees_page = requires_access_view(AccessView.CLUSTER_ACTIVITY)
"""Dependency: 401 without a login, 403 without the permission."""

reads_tasks = requires_access_dag("GET", access_entity=DagAccessEntity.TASK_INSTANCE)
"""Dependency: 401 without a login, 403 without the permission for the Dag of the request's ``dag_id``."""


def visible_teams(user: User, teams: Sequence[str]) -> list[str]:
    """Return those of the teams whose page a user may see; "" stands for the executor of all teams."""
    named = {team for team in teams if team}
    seen = get_auth_manager().filter_authorized_teams(teams_names=named, user=user, method="GET") if named else set()
    return [team for team in teams if not team or team in seen]


def may_operate(user: User, team: str = "") -> bool:
    """Return whether a user may tell the workers and agents of a team, or those of all teams, what to do."""
    details = PoolDetails(team_name=team) if team else PoolDetails()
    return bool(get_auth_manager().is_authorized_pool(method="PUT", details=details, user=user))


def may_revoke(user: User, dag_id: str) -> bool:
    """Return whether a user may revoke the attempts of a Dag's tasks."""
    return bool(
        get_auth_manager().is_authorized_dag(
            method="PUT",
            access_entity=DagAccessEntity.TASK_INSTANCE,
            details=DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)),
            user=user,
        )
    )


def readable_dags(user: User, dag_ids: Set[str]) -> frozenset[str]:
    """Return those Dags whose task instances a user may read.

    As in Airflow's own lists, the Dags are asked for all at once, and the permission to read task instances only once:
    some auth managers ask another server.
    """
    manager = get_auth_manager()
    if not dag_ids:
        return frozenset()
    team_of = DagModel.get_dag_id_to_team_name_mapping(list(dag_ids))
    by_team: dict[str | None, set[str]] = defaultdict(set)
    for dag_id in dag_ids:
        by_team[team_of.get(dag_id)].add(dag_id)
    found: set[str] = set()
    for team_name, ids in by_team.items():
        found |= manager.filter_authorized_dag_ids(dag_ids=ids, user=user, method="GET", team_name=team_name)
    if not found:
        return frozenset()
    one = DagDetails(id=min(found), team_name=team_of.get(min(found)))
    is_reader = manager.is_authorized_dag(
        method="GET", access_entity=DagAccessEntity.TASK_INSTANCE, details=one, user=user
    )
    return frozenset(found) if is_reader else frozenset()
