"""What a task instance waits for in Airflow itself: before it is queued, or before its scheduler submits it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hybrid_executor.compat import SchedulerRow, Standing
from hybrid_executor.insight.durations import in_words
from hybrid_executor.insight.situation import Explanation

_IN_DATABASE = "in Airflow's database"
_AFTER = {
    "up_for_retry": (
        "Its last try failed. Airflow waits for the task's retry_delay and queues it again.",
        "Wait, or clear the task to run it now.",
    ),
    "up_for_reschedule": ("The sensor looks again after its poke_interval.", "Wait."),
    "deferred": (
        "The task is deferred: a trigger in Airflow's triggerer decides when it goes on.",
        "If it lasts too long, see whether a triggerer is alive: airflow jobs check --job-type TriggererJob.",
    ),
    "restarting": ("The task was cleared while it ran; it ends first and then runs again.", "Wait."),
}
"""What is said of a task in these states of Airflow, with what to do."""
_NO_SCHEDULER = Explanation(
    where=_IN_DATABASE,
    waits_for="No scheduler is alive, so Airflow queues nothing.",
    advice="Start one: airflow scheduler.",
)
_SCHEDULER_LOOP_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class AirflowSide:
    """What Airflow's database says around one task instance. Times are seconds since the epoch.

    :ivar unmet: what Airflow's own check names; ``None`` where it could not be made.
    :ivar pool: where its queue is routed to. :ivar occupied, limit: slots of that pool in its scheduler; 0 for unknown.
    :ivar in_queue: how many of the occupied slots its own queue has. :ivar share: of its queue.
    :ivar redis: why Redis cannot be used, "" where it can.
    :ivar is_elastic: its queue's route has several targets or conditions. :ivar closed: why each of them does not take
        it now, as ``target: reason``; nothing if one of them does.
    :ivar has_live_attempt: Redis has a record that has not ended.
    """

    now: float
    schedulers: Sequence[SchedulerRow]
    unmet: Sequence[str] | None
    pool: str
    occupied: int = 0
    limit: int = 0
    in_queue: int = 0
    share: float = 1.0
    redis: str = ""
    is_elastic: bool = False
    closed: Sequence[str] = ()
    has_live_attempt: bool = False

    @property
    def is_full(self) -> bool:
        """The only pool that it may go to has no slot."""
        return not self.is_elastic and bool(self.limit) and self.occupied >= self.limit


def explain_in_airflow(task: Standing, around: AirflowSide) -> Explanation | None:
    """Return what a task instance waits for in Airflow; ``None`` where its attempt says it, or it waits for nothing."""
    if around.has_live_attempt:
        return None
    if task.state in ("", "scheduled"):
        return _before_queue(task, around)
    if task.state == "queued":
        return _queued(task, around)
    if task.state not in _AFTER:
        return None
    waits_for, advice = _AFTER[task.state]
    return Explanation(where=_IN_DATABASE, waits_for=waits_for, advice=advice)


def _before_queue(task: Standing, around: AirflowSide) -> Explanation:
    """A task that Airflow itself has not queued yet: the executor does not know it."""
    if task.run_state in ("success", "failed"):
        return Explanation(
            where=_IN_DATABASE,
            waits_for=f"Its run is {task.run_state} already, so Airflow does not queue it.",
            advice="Clear the task to run it.",
        )
    if not any(row.is_alive for row in around.schedulers):
        return _NO_SCHEDULER
    if around.unmet:
        return Explanation(
            where="in Airflow's database: Airflow itself has not queued it, so the executor does not know it yet",
            waits_for=" ".join(f"{_sentence(text)}" for text in around.unmet),
            advice=_advice(around.unmet, task),
        )
    if around.unmet is None:
        return Explanation(
            where=_IN_DATABASE,
            waits_for="The Dag, or the task in it, does not exist any more, so Airflow does not queue it.",
            advice="See airflow dags list-import-errors, or whether the Dag was renamed.",
        )
    if around.is_full:
        return Explanation(
            where="in Airflow's database: Airflow itself has not queued it",
            waits_for=f"All its conditions are met, but the executor has no free slot: pool {around.pool} has "
            f"{around.occupied} of {around.limit} attempts.",
            advice=f"Wait, or raise [hybrid_executor] {around.pool}_parallelism or [core] parallelism.",
        )
    return Explanation(
        where="in Airflow's database: Airflow itself has not queued it yet",
        waits_for="All its conditions are met; the scheduler queues it in one of its next loops.",
        advice="Wait. If it lasts: [core] parallelism, or many tasks of higher priority_weight, may come first.",
    )


def _queued(task: Standing, around: AirflowSide) -> Explanation:
    """A task that Airflow has queued and that has no record: its scheduler has not submitted it."""
    age = around.now - task.queued_at if task.queued_at else 0.0
    name = f"scheduler job {task.job}" if task.job else "its scheduler"
    where = f"in {name}, which has not submitted it to pool {around.pool} yet"
    if around.redis:
        return Explanation(
            where=f"queued by {name}; whether it was handed on is not known while Redis cannot be asked",
            waits_for=f"{_sentence(around.redis)} It stays queued, and nothing fails because of that.",
            advice="See airflow hybrid status.",
        )
    alive = any(row.is_alive for row in around.schedulers)
    if not any(row.is_alive and task.job in ("", row.job_id) for row in around.schedulers):
        return Explanation(
            where=where,
            waits_for=f"{name[0].upper()}{name[1:]} is not alive"
            + ("; another one adopts the task within some minutes." if alive else ", and neither is any other."),
            advice="Wait." if alive else "Start one: airflow scheduler.",
        )
    if around.pool == "local":
        return Explanation(
            where=f"in {name}, whose own processes run it (pool local)",
            waits_for="It waits for a free process of the scheduler.",
            advice="Wait, or raise [hybrid_executor] local_parallelism.",
        )
    if around.closed:
        return Explanation(
            where=f"in {name}, which has not submitted it yet",
            waits_for=f"No target of its route takes it now. {'; '.join(around.closed)}.",
            advice="Wait until tasks end, raise max in [hybrid_executor] routes, or add a target without a limit.",
        )
    if around.is_full:
        return Explanation(
            where=where,
            waits_for=f"Pool {around.pool} is full: {around.occupied} of {around.limit} slots of this scheduler are "
            f"used.{_turn(task, around)}",
            advice=f"Wait until tasks end, or raise [hybrid_executor] {around.pool}_parallelism (or [core] "
            "parallelism) and restart the scheduler.",
        )
    if age < _SCHEDULER_LOOP_SECONDS:
        return Explanation(where=where, waits_for="The scheduler submits it in its next loop.", advice="Wait.")
    return Explanation(
        where=where,
        waits_for=f"It was queued {in_words(age)} ago, and Redis has no record of it: it was lost, or the scheduler is "
        "slow or uses another Redis or instance than this command.",
        advice="See the scheduler's log. Airflow queues it again after [scheduler] task_queued_timeout.",
    )


def _turn(task: Standing, around: AirflowSide) -> str:
    """Return which queue gets the next slot, "" where its own queue has all of them."""
    if around.in_queue == around.occupied:
        return ""
    return (
        f" Queue {task.queue} has {around.in_queue} of them, and the share {around.share:g}. The next free slot goes "
        "to the queue with the fewest slots for its share ([hybrid_executor] fair_share). A queue that had nothing to "
        "do before goes first for a while."
    )


def _advice(unmet: Sequence[str], task: Standing) -> str:
    text = " ".join(unmet).lower()
    if "is paused" in text:
        return f"Unpause the Dag: airflow dags unpause {task.dag_id}"
    if "slots in pool" in text or "non-existent pool" in text:
        return "Give the Airflow pool more slots (airflow pools set), or wait until tasks of the pool end."
    if "maximum number of running tasks" in text or "max task concurrency" in text:
        return "Wait, or raise max_active_tasks, max_active_tis_per_dag or max_active_tis_per_dagrun in the Dag."
    if "dagrun was not in the 'running' state" in text:
        return "The run itself waits: see max_active_runs of the Dag, and whether the Dag is paused."
    if "trigger rule" in text:
        return f"It waits for its upstream tasks: ask airflow hybrid why {task.dag_id} UPSTREAM_TASK"
    return "Wait until this is met."


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
