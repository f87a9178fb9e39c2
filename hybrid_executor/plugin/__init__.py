"""The plugin for Airflow's API server: the reason of a failed attempt on its log page, and a page about the executor.

Belongs here: what Airflow is told about the plugin, its middleware (``log_page``) and its page (``page``). Does not
belong here: finding out how things stand (``insight``). Airflow loads plugins in most of its processes, so this package
imports little: the page is imported when the API server gets the first request for it.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from hybrid_executor.plugin.late import LateApp
from hybrid_executor.plugin.log_page import ReasonFirst
from hybrid_executor.plugin.views import PREFIX, VIEWS


class HybridPlugin(AirflowPlugin):
    """Airflow loads it from the entry point ``airflow.plugins``."""

    name = "hybrid_executor"
    fastapi_root_middlewares: list[Any] = [  # noqa: RUF012 - the base class has an instance variable
        {"name": "Why an attempt failed, on the log page", "middleware": ReasonFirst}
    ]
    fastapi_apps: list[Any] = [  # noqa: RUF012
        {"name": "Executor", "url_prefix": PREFIX, "app": LateApp("hybrid_executor.plugin.page.app:make_app")}
    ]
    external_views: list[Any] = [dict(view) for view in VIEWS]  # noqa: RUF012
