"""The tasks of the Dags on disk, read the way Airflow's Dag processor reads them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TaskOnDisk:
    """A task as its Dag file describes it.

    :ivar team: the team of the Dag's bundle, "" for none.
    :ivar executor: the executor that the task names, "" for the default one.
    :ivar has_executor_config: the task has an ``executor_config`` that is not empty.
    """

    dag_id: str
    task_id: str
    queue: str
    executor: str
    has_executor_config: bool
    team: str = ""


@dataclass(frozen=True, kw_only=True)
class BrokenFile:
    """A Dag file, or a whole bundle, that cannot be read.

    :ivar reason: the last line of the error, which says what is wrong.
    """

    path: str
    reason: str


def read_dag_files() -> tuple[list[TaskOnDisk], list[BrokenFile]]:
    """Return the tasks of all bundles, and what cannot be read. Runs the code of the Dag files.

    What Dag files print goes to standard error. Airflow's own log of the reading is not shown: it repeats the errors.
    """
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    make_manager: Any = DagBundlesManager
    tasks: list[TaskOnDisk] = []
    broken: list[BrokenFile] = []
    teams = _teams_of_bundles()
    with redirect_stdout(sys.stderr), _without_log():
        for bundle in make_manager().get_all_dag_bundles():
            try:
                bundle.initialize()
                bag = _read_bundle(bundle)
            except Exception as error:  # noqa: BLE001 - one bundle that cannot be read hides no other
                broken.append(BrokenFile(path=f"bundle {bundle.name}", reason=f"{type(error).__name__}: {error}"))
                continue
            broken += [BrokenFile(path=str(path), reason=_last_line(why)) for path, why in bag.import_errors.items()]
            team = teams.get(bundle.name, "")
            tasks += [task for dag in bag.dags.values() for task in _tasks_of(dag, team)]
    return sorted(tasks, key=lambda task: (task.dag_id, task.task_id)), sorted(broken, key=lambda file: file.path)


@contextmanager
def _without_log() -> Iterator[None]:
    """Turn off both ways in which Airflow logs: structlog, and the standard library."""
    import structlog

    disabled, configured = logging.root.manager.disable, structlog.get_config()
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        logging.disable(disabled)
        structlog.configure(**configured)


def configured_executors() -> list[frozenset[str]]:
    """Return the names of each configured executor, as tasks may write them; the default one is the first."""
    from airflow.executors.executor_loader import ExecutorLoader

    return [
        frozenset(name for name in (known.alias, known.module_path, known.module_path.rpartition(".")[2]) if name)
        for known in ExecutorLoader.get_executor_names(validate_teams=False)
    ]


def _read_bundle(bundle: Any) -> Any:
    from airflow.dag_processing import dagbag

    make = getattr(dagbag, "BundleDagBag", dagbag.DagBag)
    with _importable(str(bundle.path)):
        bag = make(bundle.path, bundle_path=bundle.path, bundle_name=bundle.name, collect_dags=False)
        bag.collect_dags(bundle.path)
    return bag


@contextmanager
def _importable(path: str) -> Iterator[None]:
    """Let Dag files import modules of their bundle."""
    before = list(sys.path)
    sys.path.append(path)
    try:
        yield
    finally:
        sys.path[:] = before


def _teams_of_bundles() -> dict[str, str]:
    """Return the team of each configured bundle that has one."""
    from airflow.configuration import conf

    listed: Any = conf.getjson("dag_processor", "dag_bundle_config_list", fallback=[])
    return {
        str(one["name"]): str(one["team_name"])
        for one in listed or ()
        if isinstance(one, dict) and one.get("team_name")
    }


def _tasks_of(dag: Any, team: str) -> Iterator[TaskOnDisk]:
    for task in dag.tasks:
        yield TaskOnDisk(
            dag_id=str(dag.dag_id),
            task_id=str(task.task_id),
            queue=str(task.queue or ""),
            executor=str(task.executor or ""),
            has_executor_config=bool(task.executor_config),
            team=team,
        )


def _last_line(error: str) -> str:
    lines = [line for line in error.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "unknown error"
