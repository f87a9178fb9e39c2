"""How attempts stand in Airflow's database, and whether somebody still answers for them.

Promises: an attempt counts as orphaned only on evidence. Where the database or Redis cannot be asked, that is an error,
and nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hybrid_executor import compat
from hybrid_executor.errors import HybridError
from hybrid_executor.events import AttemptId
from hybrid_executor.store import Record, Store


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is known of an attempt besides its record.

    :ivar row: its task instance in Airflow's database, ``None`` if there is none.
    :ivar is_owner_alive: Airflow counts the scheduler as alive that is responsible for it.
    :ivar is_in_hand: a living worker says that it has it.
    """

    record: Record
    row: compat.TaskRow | None
    is_owner_alive: bool
    is_in_hand: bool

    @property
    def is_awaited(self) -> bool:
        """Airflow waits for the end of this very attempt."""
        row = self.row
        return row is not None and row.state in compat.UNFINISHED and row.attempt in ("", self.record.id)

    @property
    def is_orphaned(self) -> bool:
        """It has not ended, and nobody will end it: no scheduler is responsible, and Airflow does not wait for it.

        Only tasks have a row that shows it. Callbacks and connection tests never count as orphaned.
        """
        is_task = self.record.kind == "task" and not self.record.state.is_terminal
        return is_task and not (self.is_owner_alive or self.is_in_hand or self.is_awaited)


def read_standings(store: Store, records: Sequence[Record]) -> dict[AttemptId, Standing]:
    """Return how attempts stand, by id; one query of the database for the tasks, and one for the schedulers.

    :raises StoreUnavailable: Redis could not be asked.
    :raises HybridError: Airflow's database could not be asked.
    """
    in_hand = store.presence.in_hand()
    with asking_the_database():
        schedulers = compat.read_live_schedulers()
        rows = compat.read_tasks(record.key for record in records if record.kind == "task" and record.key)
    return {
        record.id: Standing(
            record=record,
            row=rows.get(record.key),
            is_owner_alive=record.owner in schedulers,
            is_in_hand=record.id in in_hand,
        )
        for record in records
    }


@contextmanager
def asking_the_database() -> Iterator[None]:
    """Turn errors of Airflow's database into one that says what to check.

    :raises HybridError: the database could not be asked.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, RuntimeError) as error:
        first_line = str(error).partition("\n")[0]
        raise HybridError(
            f"Airflow's database cannot be asked ({type(error).__name__}: {first_line}): check [database] "
            "sql_alchemy_conn, and that the server runs."
        ) from error


def read_live_records(store: Store, pools: Sequence[str]) -> list[Record]:
    """Return the records of all live attempts of some pools.

    :raises StoreUnavailable: Redis could not be asked.
    """
    found: list[Record] = []
    for pool in pools:
        live = sorted(store.attempts.live(pool))
        for start in range(0, len(live), _AT_ONCE):
            found += [record for record in store.attempts.records(live[start : start + _AT_ONCE]) if record]
    return found


_AT_ONCE = 1000
