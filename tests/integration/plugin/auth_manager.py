"""An auth manager with users who may read some Dags only."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

DAGS_OF = {"anna": ("etl", "reports")}
"""The Dags that a user may read. The others may read what their role lets them."""


class DagByDag(SimpleAuthManager):
    """Roles as in the simple auth manager; some users may read some Dags only, and "stranger" may see nothing."""

    def is_authorized_dag(self, *, user: Any, details: Any = None, **rest: Any) -> bool:
        if user.username == "stranger":
            return False
        dags = DAGS_OF.get(user.username)
        if dags is not None and details is not None and details.id is not None and details.id not in dags:
            return False
        return super().is_authorized_dag(user=user, details=details, **rest)

    def is_authorized_view(self, *, user: Any, **rest: Any) -> bool:
        return user.username != "stranger" and super().is_authorized_view(user=user, **rest)
