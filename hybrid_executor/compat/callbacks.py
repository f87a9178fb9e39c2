"""Callbacks that Airflow has given to executors and whose end it does not know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from airflow.models.callback import CallbackKey

from hybrid_executor.compat.database import own_session

if TYPE_CHECKING:
    from airflow.executors.workloads.types import WorkloadKey


@dataclass(frozen=True, kw_only=True)
class CallbackRow:
    """What Airflow's database says of one callback.

    :ivar executor: the executor that it names, "" for none.
    """

    id: str
    dag_id: str
    executor: str


def read_unfinished_callbacks() -> list[CallbackRow]:
    """Return the callbacks of executors that are queued or running as far as Airflow knows."""
    from airflow.models.callback import ExecutorCallback
    from sqlalchemy import select

    query = select(ExecutorCallback.id, ExecutorCallback.data).where(ExecutorCallback.state.in_(("queued", "running")))
    with own_session() as session:
        return [
            CallbackRow(
                id=str(row.id),
                dag_id=str((row.data or {}).get("dag_id") or ""),
                executor=str((row.data or {}).get("executor") or ""),
            )
            for row in session.execute(query)
        ]


def callback_key(callback_id: str) -> WorkloadKey:
    """Return the key that the scheduler knows a callback by."""
    return cast("WorkloadKey", CallbackKey(callback_id))
