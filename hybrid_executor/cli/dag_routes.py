"""Where the tasks of Dags go, and what of them has no effect. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hybrid_executor.routing import Routes

if TYPE_CHECKING:
    from hybrid_executor.compat.dag_files import TaskOnDisk

_OURS = "hybrid_executor."


def route_tasks(
    tasks: Sequence[TaskOnDisk], routes: Routes, *, executors: Sequence[frozenset[str]], is_default: bool
) -> list[dict[str, Any]]:
    """Return a row for each task: where it goes, and warnings as sentences.

    :param executors: the names of each configured executor, the default one first.
    :param is_default: the default executor is one of this project.
    """
    return [_row(task, routes, executors=executors, is_default=is_default) for task in tasks]


def _row(task: TaskOnDisk, routes: Routes, *, executors: Sequence[frozenset[str]], is_default: bool) -> dict[str, Any]:
    warnings: list[str] = []
    row = {"dag": task.dag_id, "task": task.task_id, "queue": task.queue, "executor": task.executor}
    named = next((names for names in executors if task.executor in names), None)
    if task.executor and named is None:
        known = ", ".join(sorted(max(names, key=len) for names in executors)) or "none"
        warnings.append(
            f"executor={task.executor!r} names no configured executor, so Airflow refuses the Dag: remove it, or add "
            f"the executor to [core] executor (now {known})."
        )
        return {**row, "pool": "", "profile": "", "because of": "unknown executor", "warnings": warnings}
    is_ours = is_default if named is None else any(name.startswith(_OURS) for name in named)
    if not is_ours:
        because = f"executor={task.executor}" if task.executor else "[core] executor"
        return {**row, "pool": "", "profile": "", "because of": f"{because}: another executor", "warnings": warnings}
    route = routes.find(task.queue)
    elsewhere = [target.name for target in route.targets if target.pool != "kubernetes"]
    if task.has_executor_config and elsewhere and route.reaches("kubernetes"):
        warnings.append(
            f"executor_config is ignored when a task of queue {task.queue} goes to {' or '.join(elsewhere)}: check "
            "that image, connections and files of the workers fit it, or use a queue that goes to kubernetes only."
        )
    elif task.has_executor_config and elsewhere:
        warnings.append(
            f"executor_config is ignored, since the queue {task.queue} goes to the pool {route.pool}: remove it, or "
            "use a queue that goes to kubernetes."
        )
    return {**row, "pool": route.pool, "profile": route.profile, "because of": str(route), "warnings": warnings}
