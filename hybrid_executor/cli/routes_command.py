"""``airflow hybrid routes``: the pool of each queue and the route that decides, also for the tasks of all Dags.

Needs only the configuration. Where Redis answers, it is said which queues no living worker serves.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hybrid_executor.cli.output import WARN, Output, output_of
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.config import ConfigSource, Settings, process_config
from hybrid_executor.config.shape import configured_shape, read_configured_settings
from hybrid_executor.errors import HybridError
from hybrid_executor.operations.queues import advice_for, named_queues, queues_without_worker
from hybrid_executor.routing import Route, Routes
from hybrid_executor.store import open_configured_store

_COLUMNS = ("dag", "task", "queue", "pool", "profile", "because of")


@plainly
def routes(args: Namespace) -> int:
    """Show all routes, the routes of the given queues, or where the tasks of the Dags on disk go."""
    conf = process_config()
    settings = read_configured_settings(conf)
    output = output_of(args)
    if args.dags:
        return _show_dags(conf, settings, output, queues=args.queues)
    rows = explain_queues(settings.routes, args.queues) if args.queues else list_routes(settings.routes)
    output.rows(rows, list(rows[0]))
    default_queue = str(conf.get("operators", "default_queue", fallback="default"))
    asked = args.queues or named_queues(settings, default_queue=default_queue)
    for queue in _unserved(settings, [queue for queue in asked if settings.routes.find(queue).reaches("celery")]):
        print(f"airflow hybrid: warning: {settings.words(advice_for(queue))}.", file=sys.stderr)
    return 0


def explain_queues(routes: Routes, queues: Sequence[str]) -> list[dict[str, Any]]:
    """Return the targets of each queue in their order, with the route that decides: the first one that matches."""
    return _rows([({"queue": queue}, routes.find(queue)) for queue in queues])


def list_routes(routes: Routes) -> list[dict[str, Any]]:
    """Return the routes in the order in which they are tried, a row for each target."""
    return _rows([({"queues": route.pattern}, route) for route in routes.routes])


def _rows(found: Sequence[tuple[dict[str, Any], Route]]) -> list[dict[str, Any]]:
    """Return a row for each target, with its conditions where some route has more than one target or a condition."""
    is_elastic = any(route.is_elastic for _, route in found)
    return [
        {
            **subject,
            "pool": target.pool,
            "profile": target.profile,
            **({"conditions": ", ".join(target.conditions)} if is_elastic else {}),
            "because of": str(route),
        }
        for subject, route in found
        for target in route.targets
    ]


def _show_dags(conf: ConfigSource, settings: Settings, output: Output, *, queues: Sequence[str]) -> int:
    """Show the tasks of the Dags on disk; return 1 if a file is broken or a task will not run as it is written."""
    from hybrid_executor.cli.dag_routes import route_tasks
    from hybrid_executor.compat.dag_files import configured_executors, read_dag_files

    tasks, broken = read_dag_files()
    share = settings.share
    tasks = [
        task
        for task in tasks
        if (not queues or task.queue in queues) and (share is None or share.may_get(task.team, executor=task.executor))
    ]
    is_default = configured_shape(conf) is not None
    rows = route_tasks(tasks, settings.routes, executors=configured_executors(), is_default=is_default)
    unserved = _unserved(settings, sorted({row["queue"] for row in rows if row["pool"] == "celery"}))
    for row in rows:
        if row["pool"] == "celery" and row["queue"] in unserved:
            row["warnings"].append(f"{settings.words(advice_for(row['queue']))}.")
    if output.is_data:
        output.data({"tasks": rows, "broken": broken})
    else:
        output.rows(rows, _COLUMNS, empty="No tasks.")
    for words, count in Counter(words for row in rows for words in row["warnings"]).items():
        output.words(f"{'1 task' if count == 1 else f'{count} tasks'}: {words}", style=WARN)
    for file in broken:
        print(f"airflow hybrid: {file.path} cannot be read, so its tasks are missing: {file.reason}", file=sys.stderr)
    return int(bool(broken) or any(row["warnings"] for row in rows))


def _unserved(settings: Settings, queues: Sequence[str]) -> list[str]:
    """Return the queues without a worker; none, with a line on standard error, where Redis cannot be asked."""
    if not queues:
        return []
    try:
        settings.require_redis()
        store = open_configured_store(settings, connect_seconds=1.0, answer_seconds=2.0, retries=0)
        try:
            return queues_without_worker(store, queues)
        finally:
            store.close()
    except HybridError as error:
        print(f"airflow hybrid: which queues have workers is not known: {error}", file=sys.stderr)
        return []
