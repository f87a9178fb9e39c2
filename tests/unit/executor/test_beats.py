"""Whose task process is heard of, where clocks differ by hours."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hybrid_executor.compat import TaskRow
from hybrid_executor.executor.beats import Beats

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def row(heard: datetime | None, *, state: str = "running", read_at: datetime = NOON) -> dict[str, TaskRow]:
    told = TaskRow(
        id="t",
        dag_id="d",
        task_id="t",
        run_id="r",
        map_index=-1,
        try_number=1,
        state=state,
        queue="q",
        attempt="a",
        last_heartbeat_at=heard,
        read_at=read_at,
    )
    return {"t": told}


def test_at_the_first_look_the_databases_clock_decides() -> None:
    assert Beats().of(row(NOON - timedelta(seconds=5)), quiet_seconds=30, now=0) == {"t"}
    assert Beats().of(row(NOON - timedelta(seconds=60)), quiet_seconds=30, now=0) == set()
    assert Beats().of(row(None), quiet_seconds=30, now=0) == set()
    assert Beats().of(row(NOON, state="success"), quiet_seconds=30, now=0) == set()


def test_a_heartbeat_that_changes_is_fresh_although_its_clock_is_two_hours_behind() -> None:
    beats, behind = Beats(), NOON - timedelta(hours=2)
    beats.of(row(behind), quiet_seconds=30, now=0)
    assert beats.of(row(behind + timedelta(seconds=5)), quiet_seconds=30, now=5) == {"t"}
    assert beats.of(row(behind + timedelta(seconds=5)), quiet_seconds=30, now=34) == {"t"}
    assert beats.of(row(behind + timedelta(seconds=5)), quiet_seconds=30, now=36) == set()


def test_a_heartbeat_that_stays_the_same_is_old_although_its_clock_is_two_hours_ahead() -> None:
    beats, ahead = Beats(), NOON + timedelta(hours=2)
    assert beats.of(row(ahead), quiet_seconds=30, now=0) == {"t"}
    assert beats.of(row(ahead), quiet_seconds=30, now=31) == set()


def test_what_is_not_asked_about_any_more_is_forgotten() -> None:
    beats = Beats()
    beats.of(row(NOON + timedelta(hours=2)), quiet_seconds=30, now=0)
    beats.of({}, quiet_seconds=30, now=1)
    assert beats.of(row(NOON + timedelta(hours=2)), quiet_seconds=30, now=100) == {"t"}
