"""Runs of the Dags in ``tests/fault/dags``, and what is known of them: the marks of their tasks, and Airflow's rows."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from hybrid_executor.standalone.api import AirflowApi, ApiError
from tests.waiting import wait_until

FAILS = frozenset({"timed_out", "timed_out_pod"})
"""The tasks that are meant to fail."""
TWICE = frozenset({"retried", "retried_pod"})
"""The tasks that are meant to fail in their first try and to succeed in the second."""
_RUN_SECONDS = 900.0


class Step(NamedTuple):
    """One thing that may be done once: a task's body in one try, or a part of it between two deferrals."""

    run_id: str
    task_id: str
    map_index: int
    try_number: int
    step: str


class Task(NamedTuple):
    """One task instance."""

    run_id: str
    task_id: str
    map_index: int


@dataclass
class Marks:
    """When each step began and ended, in seconds since the epoch."""

    begun: dict[Step, list[float]] = field(default_factory=lambda: defaultdict(list))
    ended: dict[Step, list[float]] = field(default_factory=lambda: defaultdict(list))
    pids: dict[Step, int] = field(default_factory=dict)

    def begun_of(self, run_id: str, task_id: str) -> list[Step]:
        """Return the steps of a task's instances that have begun."""
        return [step for step in self.begun if step[:2] == (run_id, task_id)]


def read_marks(file: Path) -> Marks:
    """Read what tasks have written."""
    marks = Marks()
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        what, run_id, task_id, map_index, number, name, pid, at = line.split("\t")
        step = Step(run_id, task_id, int(map_index), int(number), name)
        (marks.begun if what == "begin" else marks.ended)[step].append(float(at))
        marks.pids[step] = int(pid)
    return marks


@dataclass(frozen=True)
class Try:
    """One try of a task instance, by Airflow's rows."""

    number: int
    state: str
    attempt: str


class Load:
    """Starts runs, and follows them.

    :ivar runs: the ids of the runs that were started, with the Dag of each.
    """

    def __init__(self, api: AirflowApi, database: Engine, marks: Path) -> None:
        self.runs: dict[str, str] = {}
        self._api = api
        self._database = database
        self._marks = marks
        self._numbers = itertools.count(1)

    @property
    def marks(self) -> Marks:
        """What the tasks have written until now."""
        return read_marks(self._marks)

    def start(self, dag_id: str = "load", *, seconds: float = 1.0) -> str:
        """Start a run, whose tasks take so long, and return its id; it is started once, however often it is asked."""
        run_id = f"{dag_id}-{int(time.time() * 1000)}-{next(self._numbers)}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": {"seconds": seconds}}

        def is_started() -> bool:
            try:
                self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
            except ApiError as error:
                return " 409" in str(error)
            return True

        wait_until(is_started, what=f"a run of {dag_id} is started", every_seconds=0.5)
        self.runs[run_id] = dag_id
        return run_id

    def clear(self, run_id: str, *task_ids: str) -> None:
        """Clear tasks of a run."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": list(task_ids), "only_failed": False}
        self._call("POST", f"/api/v2/dags/{self.runs[run_id]}/clearTaskInstances", body)

    def mark_success(self, run_id: str, task_id: str) -> None:
        """Mark a task as successful, as a person does."""
        path = f"/api/v2/dags/{self.runs[run_id]}/dagRuns/{run_id}/taskInstances/{task_id}"
        self._call("PATCH", path, {"new_state": "success"})

    def states(self, run_ids: Iterable[str]) -> dict[str, str]:
        """Return the states of runs."""
        query = text("SELECT run_id, state FROM dag_run WHERE run_id = ANY(:runs)")
        with self._database.connect() as connection:
            return {row.run_id: row.state for row in connection.execute(query, {"runs": list(run_ids)})}

    def wait(self, *run_ids: str, advance: Callable[[], object] = lambda: None) -> None:
        """Wait until the runs have ended."""

        def are_over() -> bool:
            advance()
            try:
                return all(state in ("success", "failed") for state in self.states(run_ids).values())
            except DBAPIError:  # it is restarting
                return False

        wait_until(
            are_over,
            what=lambda: f"the runs have ended: {self.unfinished(run_ids)}",
            seconds=_RUN_SECONDS,
            every_seconds=0.25,
        )

    def unfinished(self, run_ids: Iterable[str]) -> list[Any]:
        """Return the task instances that have not ended, with their states."""
        query = text(
            "SELECT run_id, task_id, map_index, try_number, state, external_executor_id FROM task_instance "
            "WHERE run_id = ANY(:runs) AND state IS DISTINCT FROM 'success' AND state IS DISTINCT FROM 'failed'"
        )
        with self._database.connect() as connection:
            return [tuple(row) for row in connection.execute(query, {"runs": list(run_ids)})]

    def tries(self, run_ids: Iterable[str]) -> dict[Task, list[Try]]:
        """Return all tries of all task instances, the earliest first."""
        found: dict[Task, dict[int, Try]] = defaultdict(dict)
        with self._database.connect() as connection:
            for table in ("task_instance_history", "task_instance"):
                query = text(
                    "SELECT run_id, task_id, map_index, try_number, state, external_executor_id "
                    f"FROM {table} WHERE run_id = ANY(:runs)"
                )
                for row in connection.execute(query, {"runs": list(run_ids)}):
                    one = Try(row.try_number, row.state or "", row.external_executor_id or "")
                    found[Task(row.run_id, row.task_id, row.map_index)][row.try_number] = one
        return {task: [tries[number] for number in sorted(tries)] for task, tries in found.items()}

    def doubled_tries(self, run_ids: Iterable[str]) -> list[Any]:
        """Return the tries of which Airflow's tables have more than one row, with the number of rows."""
        of_runs = "SELECT dag_id, run_id, task_id, map_index, try_number FROM {} WHERE run_id = ANY(:runs)"
        union = f"{of_runs.format('task_instance')} UNION ALL {of_runs.format('task_instance_history')}"
        query = text(
            f"SELECT run_id, task_id, map_index, try_number, count(*) FROM ({union}) AS tries "
            "GROUP BY dag_id, run_id, task_id, map_index, try_number HAVING count(*) > 1"
        )
        with self._database.connect() as connection:
            return [tuple(row) for row in connection.execute(query, {"runs": list(run_ids)})]

    def audit(self, run_ids: Iterable[str]) -> list[tuple[str, str, str]]:
        """Return what executors and schedulers have written in Airflow's audit log: task, event, text."""
        query = text(
            "SELECT task_id, event, extra FROM log WHERE run_id = ANY(:runs) AND (event LIKE 'hybrid executor:%' "
            "OR event LIKE 'stuck in queued%' OR event IN ('state mismatch', 'heartbeat timeout')) ORDER BY id"
        )
        with self._database.connect() as connection:
            return [(r.task_id, r.event, r.extra or "") for r in connection.execute(query, {"runs": list(run_ids)})]

    def _call(self, method: str, path: str, body: Any) -> Any:
        return self._api._ask(method, path, body)
