"""Whether a task's process may be handed its own Dag alone, of a file with many.

Airflow takes each Dag of a file into a bag: it checks it, calls the deployment's policies for each of its tasks, and
reads templates that are files. A task uses one of them. Where nobody can notice what is done to the others, it is left
out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def may_be_alone(dags: Sequence[Any]) -> bool:
    """Return whether each Dag of a file may be taken into a bag without the others."""
    are_distinct = len({dag.dag_id for dag in dags}) == len(dags)
    return are_distinct and not _has_policies() and all(_is_taken_silently(dag) for dag in dags)


def _has_policies() -> bool:
    from airflow import policies
    from airflow.settings import get_policy_plugin_manager

    hooks = get_policy_plugin_manager().hook
    implementations = [*hooks.dag_policy.get_hookimpls(), *hooks.task_policy.get_hookimpls()]
    return any(one.plugin is not policies.DefaultPolicy for one in implementations)


def _is_taken_silently(dag: Any) -> bool:
    try:
        dag.validate()
        dag.check_cycle()
    except Exception:  # noqa: BLE001 - each task logs what is wrong with a Dag of its file
        return False
    return all(_has_nothing_to_do(task) for task in dag.tasks)


def _has_nothing_to_do(task: Any) -> bool:
    from airflow.sdk.definitions._internal.templater import Templater

    has_templates = task.template_ext or type(task).prepare_template is not Templater.prepare_template
    return not (has_templates or task.executor or getattr(task, "end_from_trigger", False))
