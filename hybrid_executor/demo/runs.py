"""The runs of a demo: started through Airflow's REST API and followed there and in Redis until they end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid_executor.demo.journal import Journal
from hybrid_executor.demo.rows import Row, build_rows
from hybrid_executor.errors import HybridError, StoreUnavailable
from hybrid_executor.standalone.api import AirflowApi, ApiError

_ENDED = frozenset({"success", "failed"})


class DemoFailed(HybridError):
    """The DAGs cannot be run at all."""


@dataclass
class Runs:
    """One run of each DAG, as it was at the last update.

    :ivar ids: run id by DAG.
    :ivar states: state by DAG.
    :ivar instances: their task instances, and ``tries`` all tries of them.
    """

    api: AirflowApi
    journal: Journal
    ids: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    instances: list[dict[str, Any]] = field(default_factory=list)
    tries: list[dict[str, Any]] = field(default_factory=list)
    _history: dict[Any, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def are_over(self) -> bool:
        """Every run has ended."""
        return bool(self.states) and all(state in _ENDED for state in self.states.values())

    @property
    def rows(self) -> list[Row]:
        """Every attempt so far."""
        return build_rows([r for r in self.journal.records if r.run_id in self.ids.values()], self.tries)

    def start(self, dag_ids: Iterable[str] = ()) -> None:
        """Start a run of each of these DAGs, or of every one that there is."""
        for dag_id in dag_ids or sorted(self.api.dag_ids()):
            self.ids[dag_id] = self.api.trigger(dag_id)
            self.states[dag_id] = "queued"

    def update(self) -> None:
        """Read the runs again, from Airflow and from Redis.

        :raises ApiError, StoreUnavailable: one of them does not answer; the earlier values stay.
        """
        instances = []
        for dag_id, run_id in self.ids.items():
            self.states[dag_id] = self.api.run_state(dag_id, run_id)
            instances += self.api.task_instances(dag_id, run_id)
        self.journal.update()
        self.instances = instances
        self.tries = [row for instance in instances for row in self._tries_of(instance)]

    def _tries_of(self, instance: dict[str, Any]) -> Sequence[dict[str, Any]]:
        """Return all tries of a task instance; earlier tries are read only once, since they do not change any more."""
        number = int(instance["try_number"])
        if number <= 1:
            return [instance]
        key = (instance["id"], number)
        if key not in self._history:
            self._history[key] = [row for row in self.api.tries(instance) if row["try_number"] < number]
        return [*self._history[key], instance]


def wait_for_dags(api: AirflowApi, *, expected: int, timeout_seconds: float, stop: threading.Event) -> set[str]:
    """Return the ids of the DAGs when Airflow has read at least ``expected`` of them.

    :raises DemoFailed: a file cannot be imported, or too few DAGs were read in time.
    """
    deadline = time.monotonic() + timeout_seconds
    seen: set[str] = set()
    while not stop.wait(0.5):
        try:
            errors, found = api.import_errors(), api.dag_ids()
        except ApiError:
            errors, found = {}, seen
        for file, trace in errors.items():
            raise DemoFailed(f"{file} cannot be imported: {trace.strip().splitlines()[-1]}")
        # Each file holds at least one DAG; the DAG processor writes all DAGs of a file at once.
        if found and found == seen and len(found) >= expected:
            return found
        seen = found
        if time.monotonic() > deadline:
            raise DemoFailed(f"Airflow read only {len(seen)} DAGs from {expected} files within {timeout_seconds:.0f} s")
    return set()


def follow(runs: Runs) -> str:
    """Update once; return the error if Airflow or Redis did not answer, else ""."""
    try:
        runs.update()
    except (ApiError, StoreUnavailable) as error:
        return str(error)
    return ""
