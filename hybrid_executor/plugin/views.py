"""Where Airflow's UI shows our pages: one entry of its navigation, and a tab of each run and each task instance.

The UI puts a page into an iframe of the same origin, which may run scripts and send forms, but may open no window and
no ``confirm()``. It replaces ``{DAG_ID}`` and its like; where a task is not mapped, ``{MAP_INDEX}`` stays as it is. An
address without a leading slash is relative to ``[api] base_url``, so a path in it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PREFIX = "/hybrid-executor"
"""The path of our pages below ``[api] base_url``."""

MAP_INDEX = "{MAP_INDEX}"
PAGE_ROUTE = "hybrid-executor"
RUN_ROUTE = "hybrid-executor-run"
TASK_ROUTE = "hybrid-executor-task"

_BASE = PREFIX.removeprefix("/")
_TASK = f"dag_id={{DAG_ID}}&run_id={{RUN_ID}}&task_id={{TASK_ID}}&map_index={MAP_INDEX}"
_LOOK = {
    "name": "Executor",
    "icon": f"{_BASE}/static/icon-light.svg",
    "icon_dark_mode": f"{_BASE}/static/icon-dark.svg",
}

VIEWS: Sequence[Mapping[str, object]] = (
    {
        **_LOOK,
        "href": f"{_BASE}/",
        "destination": "nav",
        "url_route": PAGE_ROUTE,
        # Airflow 3.2 ignores it, and shows the entry below "Plugins" if there are others.
        "nav_top_level": True,
    },
    {
        **_LOOK,
        "href": f"{_BASE}/run?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
        "destination": "dag_run",
        "url_route": RUN_ROUTE,
    },
    {
        **_LOOK,
        "href": f"{_BASE}/task?{_TASK}",
        "destination": "task_instance",
        "url_route": TASK_ROUTE,
    },
)
