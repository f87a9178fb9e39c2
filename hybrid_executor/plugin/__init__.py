"""What this project adds to Airflow's API server: why an attempt failed, first on the log page of its task.

Belongs here: the plugin and what it adds. Does not belong here: finding out why something failed. Airflow loads plugins
in most of its processes, so importing this package imports little, and only the API server does anything with it.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from hybrid_executor.plugin.log_page import ReasonFirst


class HybridPlugin(AirflowPlugin):
    """Airflow finds it through the entry point ``airflow.plugins``."""

    name = "hybrid_executor"
    fastapi_root_middlewares: list[Any] = [  # noqa: RUF012 - the base class has an instance variable
        {"name": "Why an attempt failed, on the log page", "middleware": ReasonFirst}
    ]
