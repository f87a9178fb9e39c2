"""What an attempt of the Celery pool waits for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_executor.insight.attempts import AttemptView
from hybrid_executor.insight.durations import in_words, some
from hybrid_executor.insight.members import WorkerView
from hybrid_executor.insight.situation import Explanation, Situation

_UNSETTLED = "Redis was restarted or replaced; attempts that were submitted before start up to 15 s later."


def explain_waiting(attempt: AttemptView, around: Situation) -> Explanation:
    """Return what a submitted attempt waits for."""
    if attempt.received_by:
        return _received(attempt, around)
    queue = attempt.queue
    where = f"in queue {queue}"
    serving = around.serving(queue)
    if around.broker_is_store and around.ahead is None:
        return _in_no_queue(attempt, around)
    if not around.broker_is_store and not attempt.is_sent:
        return Explanation(
            where="in its scheduler, which has not sent its message to the broker yet",
            waits_for="The broker does not accept the message now; the scheduler tries again every few seconds.",
            advice="See whether the broker of [celery] broker_url is running; the scheduler's log has its error.",
        )
    before = "" if around.ahead is None else _before(around.ahead, queue)
    if not serving:
        return _unserved(queue, before, where, around)
    if around.is_unsettled:
        return Explanation(where=where, waits_for=_UNSETTLED, advice="Wait.")
    deaf = [worker for worker in serving if worker.state == "deaf"]
    if len(deaf) == len(serving):
        return Explanation(
            where=where,
            waits_for=f"{before}{_capital(_names(deaf))} {'takes' if len(deaf) == 1 else 'take'} no messages, though "
            "some wait.",
            advice="A worker that takes no messages connects to the broker again within 30 s; else restart it.",
        )
    free = [worker for worker in serving if worker.free > len(worker.held) and worker.state != "deaf"]
    if not free:
        return Explanation(where=where, waits_for=before + _busy(serving), advice=_more_slots(queue))
    if around.ahead:
        taking = f"{_capital(_names(free))} {'takes' if len(free) == 1 else 'take'} them in turn"
        return Explanation(where=where, waits_for=f"{before}{taking}.", advice="Wait.")
    return Explanation(
        where=where, waits_for=f"It is next in queue {queue}, and {_names(free)} has a free slot.", advice="Wait."
    )


def explain_running(attempt: AttemptView, around: Situation) -> Explanation:
    """Return how a running attempt stands: whether its worker is alive and still has it."""
    name = attempt.holder
    where = f"on worker {name}"
    worker = around.worker(name)
    lost_after = f"{around.worker_lost_after_seconds:g} s"
    if worker is None or not worker.is_alive:
        silent = f" for {in_words(worker.heartbeat_age)}" if worker is not None else ""
        beats = _beats(around)
        return Explanation(
            where=where,
            waits_for=f"Worker {name} has been silent{silent}. {beats}",
            advice="If it is dead: start it again; the scheduler fails the task as worker lost when its heartbeat to "
            f"Airflow has been silent for {lost_after} too, and Airflow retries it if it has retries.",
        )
    if attempt.id in worker.held:
        return Explanation(where=where, waits_for=f"Worker {name} hands it to a task process now.")
    if attempt.id not in worker.running:
        return Explanation(
            where=where,
            waits_for=f"Worker {name} is alive and does not say that it runs this attempt. {_beats(around)}",
            advice=f"The scheduler decides within about {lost_after}: it fails if Airflow does not hear of it either.",
        )
    return Explanation(where=where)


def _received(attempt: AttemptView, around: Situation) -> Explanation:
    name = attempt.received_by
    where = f"with worker {name}, which has received it and has not started it"
    worker = around.worker(name)
    if worker is None or not worker.is_alive:
        silent = f" for {in_words(worker.heartbeat_age)}" if worker is not None else ""
        return Explanation(
            where=where,
            waits_for=f"Worker {name} has been silent{silent}; the scheduler sends the message again about 30 s after "
            "the worker's last sign of life.",
            advice=f"Start the worker again, or any other: airflow hybrid worker --queues {attempt.queue}.",
        )
    if attempt.id not in (*worker.held, *worker.running):
        return Explanation(
            where=where,
            waits_for=f"Worker {name} does not have it any more; the scheduler sends the message again within about "
            "30 s.",
            advice="Wait.",
        )
    if around.is_unsettled:
        return Explanation(where=where, waits_for=_UNSETTLED, advice="Wait.")
    if worker.state in ("draining", "drained"):
        return Explanation(
            where=where,
            waits_for=f"Worker {name} drains: it gives the message back to queue {attempt.queue}.",
            advice=f"Another worker of the queue takes it; or: airflow hybrid drain {name} --undo.",
        )
    if worker.free:
        return Explanation(where=where, waits_for=f"Worker {name} starts it in a moment.", advice="Wait.")
    return Explanation(where=where, waits_for=_busy([worker], only=False), advice=_more_slots(attempt.queue))


def _in_no_queue(attempt: AttemptView, around: Situation) -> Explanation:
    where = f"on its way from queue {attempt.queue} to a worker"
    if around.is_owner_alive is False:
        return Explanation(
            where=where,
            waits_for="Its message is in no queue, and the scheduler that would send it again is not alive.",
            advice="Start a scheduler; it adopts the task.",
        )
    return Explanation(
        where=where,
        waits_for="Its message has left the queue and no worker has it yet; the scheduler sends it again within about "
        "30 s if none reports it.",
        advice="Wait.",
    )


def _unserved(queue: str, before: str, where: str, around: Situation) -> Explanation:
    drained = [worker for worker in around.workers if worker.is_alive and queue in worker.paused_queues]
    if drained:
        return Explanation(
            where=where,
            waits_for=f"{before}Queue {queue} is served only by workers that drain: {_plain_names(drained)}.",
            advice=f"Let it take tasks again (airflow hybrid drain {drained[0].name} --undo), or run airflow hybrid "
            f"worker --queues {queue}.",
        )
    silent = [worker for worker in around.workers if not worker.is_alive]
    gone = "; ".join(f"{worker.name} for {in_words(worker.heartbeat_age)}" for worker in silent[:3])
    also = f" Silent workers: {gone}." if silent else ""
    return Explanation(
        where=where,
        waits_for=f"{before}No living worker serves queue {queue}.{also}",
        advice=f"Run airflow hybrid worker --queues {queue}, let a worker serve it too (airflow hybrid "
        f"worker-add-queue WORKER {queue}), or route the queue elsewhere in [hybrid_executor] routes.",
    )


def _before(ahead: int, queue: str) -> str:
    return f"{some(ahead, 'task')} {'is' if ahead == 1 else 'are'} before it in queue {queue}. " if ahead else ""


def _busy(workers: Sequence[WorkerView], *, only: bool = True) -> str:
    """Return that workers have no free slot, for instance: "Worker a is busy (4 of 4 slots)."."""
    parts = [f"{worker.name} is busy ({len(worker.running)} of {worker.concurrency} slots)" for worker in workers[:3]]
    more = f" and {len(workers) - 3} more" if len(workers) > 3 else ""
    words = f"{'Worker' if len(workers) == 1 else 'All workers of this queue are busy:'} {'; '.join(parts)}{more}"
    return f"{words}; no other worker serves it." if only and len(workers) == 1 else f"{words}."


def _more_slots(queue: str) -> str:
    return f"Wait, start another worker (airflow hybrid worker --queues {queue}), or raise its --concurrency."


def _names(workers: Sequence[WorkerView]) -> str:
    return f"{'worker' if len(workers) == 1 else 'workers'} {_plain_names(workers)}"


def _plain_names(workers: Sequence[WorkerView]) -> str:
    names = ", ".join(worker.name for worker in workers[:3])
    return f"{names} and {len(workers) - 3} more" if len(workers) > 3 else names


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _beats(around: Situation) -> str:
    if around.heartbeat_age is None:
        return "Airflow has had no heartbeat of the task."
    return f"The task's last heartbeat to Airflow was {in_words(around.heartbeat_age)} ago."
