"""What people do to tasks and attempts, in the UI and at the command line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from hybrid_executor.events import AttemptId
from hybrid_executor.store import Store
from tests.simulation.airflow_model import Airflow, Row
from tests.simulation.plan import Action, ActionKind
from tests.simulation.world import World

_TRY_AGAIN_SECONDS = 3.0
_ERASE_SECONDS = 1.0


class People:
    """Acts at once, whatever the network does.

    :param store: reaches Redis without it.
    :param erased: gets the attempts whose records were deleted.
    """

    def __init__(self, world: World, airflow: Airflow, store: Store, *, erased: set[str]) -> None:
        self._world = world
        self._airflow = airflow
        self._store = store
        self._erased = erased

    def act(self, action: Action) -> None:
        """Do something to a task."""
        row = self._airflow.rows[action.task]
        if action.kind == "erase":
            self._erase(row)
        elif action.kind != "revoke":
            self._airflow.act(action.kind, action.task)
        elif row.attempt:
            self._world.say(f"a person revokes the attempt {row.attempt[:8]} of {row.name}, which is {row.state}")
            self._store.attempts.revoke([AttemptId(row.attempt)], reason="Revoked by a user")
            # It stays queued until Airflow takes it back.
            self._world.after(_TRY_AGAIN_SECONDS, partial(self._airflow.act, "take_back", action.task))

    def interfere(self, kind: ActionKind, attempts: Sequence[str]) -> None:
        """Do something to the task of the first of these attempts that Airflow knows."""
        rows = [self._airflow.attempts_of[attempt] for attempt in attempts if attempt in self._airflow.attempts_of]
        if rows:
            self.act(Action(self._world.seconds(), kind, self._airflow.rows.index(rows[0])))

    def _erase(self, row: Row) -> None:
        """Delete the records of a task's attempts that have ended: first read, then delete."""
        attempts = [AttemptId(attempt) for attempt, known in self._airflow.attempts_of.items() if known is row]
        for record in self._store.attempts.records(attempts):
            if record is not None:
                self._world.say(f"a person deletes the record of {record.id[:8]}, which is {record.state.value}")
                self._erased.add(record.id)
                erase = partial(self._store.erasing.erase, record.id, generation=record.generation)
                self._world.after(_ERASE_SECONDS, lambda erase=erase: erase() and None)
