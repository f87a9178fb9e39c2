"""Plays the workers of a CeleryExecutor: what they write when tasks start and end. No task is run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

_BATCH = 1_000
_ALIVE_SECONDS = 3_600.0


class Workers(Protocol):
    """What workers tell the executor."""

    def submit(self, executor: Any) -> None:
        """Let the executor hand out all that is queued, in the quickest way that leaves it as it would be then."""

    def start(self, attempts: Sequence[str]) -> None:
        """Say that these attempts run."""

    def end(self, attempts: Sequence[str]) -> None:
        """Say that these attempts have succeeded."""


class HybridWorkers:
    """Writes the records of attempts, as this project's workers do."""

    def __init__(self, executor: Any) -> None:
        self._store = executor.context.store

    def submit(self, executor: Any) -> None:
        while executor.queued_tasks:
            executor.heartbeat()

    def start(self, attempts: Sequence[str]) -> None:
        for number, start in enumerate(range(0, len(attempts), _BATCH)):
            batch = attempts[start : start + _BATCH]
            # Where no living worker has them, the executor would have to find out what became of them.
            told = {"running": json.dumps(batch), "held": "[]"}
            self._store.presence.announce("worker", f"worker-{number}", told, seconds=_ALIVE_SECONDS)
            self._advance(batch, to="running", holder=f"worker-{number}")

    def end(self, attempts: Sequence[str]) -> None:
        self._advance(attempts, to="succeeded")

    def _advance(self, attempts: Sequence[str], *, to: str, **fields: str) -> None:
        from hybrid_executor.events import AttemptId
        from hybrid_executor.states import State
        from hybrid_executor.store import Change

        changes = [Change(attempt=AttemptId(attempt), to=State(to), fields=fields) for attempt in attempts]
        for start in range(0, len(changes), _BATCH):
            answers = self._store.attempts.advance_all(changes[start : start + _BATCH])
            if not all(answer.is_granted for answer in answers):
                raise RuntimeError(f"an attempt could not be made {to}: {answers[0]}")


class CeleryWorkers:
    """Writes results to Celery's result backend, as stock workers do."""

    def __init__(self, executor: Any) -> None:
        self._backend = executor.celery_app.backend

    def submit(self, executor: Any) -> None:
        # Sending 50,000 messages one by one would take a minute of each round.
        from celery.result import AsyncResult

        for key, task in executor.queued_tasks.items():
            executor.workloads[key] = AsyncResult(task.ti.external_executor_id, app=executor.celery_app)
            executor.running.add(key)
        executor.queued_tasks.clear()

    def start(self, attempts: Sequence[str]) -> None:
        self._store(attempts, "STARTED")

    def end(self, attempts: Sequence[str]) -> None:
        self._store(attempts, "SUCCESS")

    def _store(self, attempts: Sequence[str], state: str) -> None:
        if hasattr(self._backend, "ResultSession"):
            self._store_in_database(attempts, state)
            return
        for attempt in attempts:
            self._backend.store_result(attempt, None, state)

    def _store_in_database(self, attempts: Sequence[str], state: str) -> None:
        """Write all results in one statement: what the workers' writing costs is not measured."""
        from sqlalchemy import delete, insert

        model = self._backend.task_cls
        result = self._backend.encode(None)
        session = self._backend.ResultSession()
        for start in range(0, len(attempts), _BATCH):
            batch = attempts[start : start + _BATCH]
            session.execute(delete(model).where(model.task_id.in_(batch)))
            session.execute(insert(model), [{"task_id": one, "status": state, "result": result} for one in batch])
        session.commit()
        session.close()


def make_workers(executor: Any) -> Workers:
    """Return the workers of an executor of either side."""
    return CeleryWorkers(executor) if hasattr(executor, "celery_app") else HybridWorkers(executor)
