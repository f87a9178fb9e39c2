"""One attempt as the demo shows it: the store's record together with Airflow's own row. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from hybrid_executor.states import State
from hybrid_executor.store import Record

TryKey = tuple[str, str, str, int, int]
"""dag, run, task, map index, try number."""

# The store knows how the process ended. Airflow knows how the task ended.
_TOLD_BY_AIRFLOW = frozenset({"success", "failed", "skipped", "upstream_failed", "up_for_retry", "deferred"})


@dataclass(frozen=True, kw_only=True)
class Row:
    """One attempt.

    :ivar where: the worker or the pod.
    :ivar hostname: the host that the task itself reported; "" before it did.
    :ivar seconds_to_start: from the submission until a worker took it or its container ran; ``None`` before that.
    :ivar seconds_to_running: from the submission until the task reported to Airflow that it runs. For a resumed task
        this is ``seconds_to_start``, since Airflow keeps only the first report.
    :ivar seconds_started: from the start to the end in the store.
    """

    attempt: str
    dag_id: str
    run_id: str
    task: str
    try_number: int
    queue: str
    pool: str
    profile: str
    where: str
    hostname: str
    state: str
    seconds_to_start: float | None
    seconds_to_running: float | None
    seconds_started: float | None
    note: str

    def as_dict(self) -> dict[str, Any]:
        """Return the row for JSON."""
        return asdict(self)


def key_of_record(record: Record) -> TryKey:
    """Return the try of a record."""
    return record.dag_id, record.run_id, record.task_id, record.map_index, record.try_number


def key_of_try(row: Mapping[str, Any]) -> TryKey:
    """Return the try of a row of Airflow's REST API."""
    return row["dag_id"], row["dag_run_id"], row["task_id"], int(row["map_index"]), int(row["try_number"])


def build_rows(records: Sequence[Record], tries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return one row per record, in the same order.

    :param tries: tries from Airflow's REST API.
    """
    told = {key_of_try(row): row for row in tries}
    latest = {key_of_record(record): record.id for record in records}
    return [_build_row(record, told.get(key_of_record(record)), latest) for record in records]


def _build_row(record: Record, told: Mapping[str, Any] | None, latest: Mapping[TryKey, str]) -> Row:
    mapped = f"[{record.map_index}]" if record.map_index >= 0 else ""
    return Row(
        attempt=record.id,
        dag_id=record.dag_id,
        run_id=record.run_id,
        task=f"{record.task_id}{mapped}",
        try_number=record.try_number,
        queue=record.queue,
        pool=record.pool,
        profile=record.profile,
        where=record.pod or record.holder,
        hostname=str((told or {}).get("hostname") or ""),
        state=_state_in_words(record, told, is_latest=latest[key_of_record(record)] == record.id),
        seconds_to_start=_seconds(record.submitted_at, record.running_at),
        seconds_to_running=_seconds(record.submitted_at, _running_at(record, told)),
        seconds_started=_seconds(record.running_at, record.ended_at),
        note=record.reason or record.note,
    )


def _state_in_words(record: Record, told: Mapping[str, Any] | None, *, is_latest: bool) -> str:
    if not is_latest and record.state in (State.SUCCEEDED, State.REVOKED):
        return "deferred"
    if told and told["state"] in _TOLD_BY_AIRFLOW and record.state.is_terminal:
        return str(told["state"])
    return record.state.value


def _running_at(record: Record, told: Mapping[str, Any] | None) -> int:
    if told is None or not told["start_date"]:
        return 0
    told_at = int(datetime.fromisoformat(told["start_date"].replace("Z", "+00:00")).timestamp() * 1000)
    return told_at if told_at >= record.submitted_at else record.running_at


def _seconds(start: int, end: int) -> float | None:
    return round((end - start) / 1000, 2) if start and end else None
