"""What a task waits for before the executor knows it."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.compat import SchedulerRow, Standing
from hybrid_executor.insight.in_airflow import AirflowSide, explain_in_airflow

NOW = 1_000_000.0
ALIVE = SchedulerRow(job_id="1", hostname="h", state="running", is_alive=True, heartbeat_age=1)
DEAD = SchedulerRow(job_id="1", hostname="h", state="running", is_alive=False, heartbeat_age=90)


def standing(state: str, **rest: Any) -> Standing:
    known = {"dag_id": "d", "task_id": "t", "run_id": "r", "map_index": -1, "try_number": 1, "queue": "q"}
    return Standing(state=state, **({**known, "pool": "default_pool", "pool_slots": 1, "run_state": "running"} | rest))


def side(**rest: Any) -> AirflowSide:
    return AirflowSide(**({"now": NOW, "schedulers": (ALIVE,), "unmet": (), "pool": "celery"} | rest))


@pytest.mark.parametrize(
    ("task", "around", "words", "advice"),
    [
        (standing("scheduled"), {"schedulers": ()}, "No scheduler is alive", "airflow scheduler"),
        (
            standing(""),
            {"unmet": ("Dag Not Paused: Task's DAG 'd' is paused.",)},
            "Task's DAG 'd' is paused.",
            "airflow dags unpause",
        ),
        (
            standing("scheduled"),
            {"unmet": ("Pool Slots Available: Not scheduling since there are 0 open slots in pool small",)},
            "0 open slots in pool small.",
            "airflow pools set",
        ),
        (standing(""), {"unmet": ("Trigger Rule: Task's trigger rule 'all_success' ...",)}, "trigger rule", "upstream"),
        (standing("scheduled"), {"unmet": None}, "does not exist any more", "list-import-errors"),
        (standing("scheduled"), {}, "the scheduler queues it in one of its next loops", "Wait"),
        (standing("scheduled"), {"occupied": 32, "limit": 32}, "no free slot: pool celery has 32 of 32", "parallelism"),
        (standing("", run_state="failed"), {}, "Its run is failed already", "Clear"),
        (standing("queued", job="1"), {"redis": "Redis cannot be reached."}, "Redis cannot be reached.", "status"),
        (standing("queued", job="1"), {"schedulers": (DEAD,)}, "Scheduler job 1 is not alive, and neither", "Start"),
        (standing("queued", job="1"), {"occupied": 32, "limit": 32}, "Pool celery is full: 32 of 32", "parallelism"),
        (
            standing("queued", job="1"),
            {"occupied": 32, "limit": 32, "in_queue": 3, "share": 0.5},
            "Queue q has 3 of them, and the share 0.5. The next free slot goes to the queue with the fewest slots",
            "parallelism",
        ),
        (
            standing("queued", job="1"),
            {"is_elastic": True, "closed": ["celery: full: 2 of 2", "kubernetes: full: 1 of 1"]},
            "No target of its route takes it now. celery: full: 2 of 2; kubernetes: full: 1 of 1.",
            "raise max",
        ),
        (
            standing("queued", job="1", queued_at=NOW - 2),
            {"is_elastic": True, "occupied": 32, "limit": 32},
            "submits it in its next loop",
            "Wait",
        ),
        (standing("queued", job="1", queued_at=NOW - 2), {}, "submits it in its next loop", "Wait"),
        (standing("queued", job="1", queued_at=NOW - 60), {}, "Redis has no record of it", "log"),
        (standing("queued", job="1"), {"pool": "local"}, "free process of the scheduler", "local_parallelism"),
        (standing("up_for_retry"), {}, "retry_delay", "clear"),
        (standing("deferred"), {}, "trigger", "TriggererJob"),
    ],
)
def test_it_is_said_that_airflow_holds_it_and_why(
    task: Standing, around: dict[str, Any], words: str, advice: str
) -> None:
    explained = explain_in_airflow(task, side(**around))
    assert explained is not None
    assert words in explained.waits_for
    assert advice.lower() in explained.advice.lower()


def test_airflow_itself_has_not_queued_it_is_said_in_words() -> None:
    explained = explain_in_airflow(standing("scheduled"), side(unmet=("Dag Not Paused: it is paused.",)))
    assert explained is not None
    assert "Airflow itself has not queued it" in explained.where


@pytest.mark.parametrize("state", ["running", "success", "failed", "skipped", "upstream_failed", "removed"])
def test_nothing_is_said_of_other_states(state: str) -> None:
    assert explain_in_airflow(standing(state), side()) is None
    assert explain_in_airflow(standing("queued"), side(has_live_attempt=True)) is None
