"""The plugin for Airflow's API server: it puts the reason of a failed attempt at the top of the task's log page.

Belongs here: the plugin and its middleware. Does not belong here: finding the reason. Airflow loads plugins in most of
its processes, so this package imports little, and only the API server uses it.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from hybrid_executor.plugin.log_page import ReasonFirst


class HybridPlugin(AirflowPlugin):
    """Airflow loads it from the entry point ``airflow.plugins``."""

    name = "hybrid_executor"
    fastapi_root_middlewares: list[Any] = [  # noqa: RUF012 - the base class has an instance variable
        {"name": "Why an attempt failed, on the log page", "middleware": ReasonFirst}
    ]
