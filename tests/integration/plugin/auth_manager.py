"""An auth manager with users who may read some Dags only."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

DAGS_OF = {"anna": ("etl", "reports")}
"""The Dags that a user may read. The others may read what their role lets them."""


class DagByDag(SimpleAuthManager):
    """Roles as in the simple auth manager; some users may read some Dags only.

    "author" may read no task instances, and "stranger" may see nothing.
    """

    def is_authorized_dag(self, *, user: Any, access_entity: Any = None, details: Any = None, **rest: Any) -> bool:
        if user.username == "stranger":
            return False
        if user.username == "author" and access_entity is DagAccessEntity.TASK_INSTANCE:
            return False
        dags = DAGS_OF.get(user.username)
        if dags is not None and details is not None and details.id is not None and details.id not in dags:
            return False
        return super().is_authorized_dag(user=user, access_entity=access_entity, details=details, **rest)

    def is_authorized_view(self, *, user: Any, **rest: Any) -> bool:
        return user.username != "stranger" and super().is_authorized_view(user=user, **rest)
