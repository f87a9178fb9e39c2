"""Airflow's time limits compared with ours: each finding has both numbers, and why they belong together. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hybrid_executor.doctor.findings import Finding, failure, ok, warning

BUSY_HEARTBEAT_SECONDS = 10.0
"""How long the executor may keep the scheduler's loop in the worst case: Redis frozen, a broker that hangs."""
_NAME = "timeouts"


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds, each under the name of its option."""

    task_queued_timeout: float = 600.0
    scheduler_health_check_threshold: float = 30.0
    task_instance_heartbeat_timeout: float = 300.0
    min_heartbeat_interval: float = 5.0
    execution_api_timeout: float = 5.0
    visibility_timeout: float = 86400.0
    record_retention: float = 86400.0
    worker_lost_after: float = 30.0
    repair_interval: float = 10.0
    launch_patience: float = 120.0
    worker_shutdown_timeout: float = 0.0
    has_workers: bool = True
    has_pods: bool = True
    broker_redelivers: bool = True


def judge_timeouts(limits: Timeouts) -> list[Finding]:
    """Return a finding for each pair of limits that belong together."""
    return [
        _judge_queued(limits),
        _judge_health(limits),
        _judge_retention(limits),
        *(_judge_workers(limits) if limits.has_workers else ()),
        *(_judge_pods(limits) if limits.has_pods else ()),
    ]


def _judge_queued(limits: Timeouts) -> Finding:
    notices = limits.worker_lost_after + limits.repair_interval
    told = f"[scheduler] task_queued_timeout {_s(limits.task_queued_timeout)}"
    if limits.task_queued_timeout <= notices:
        return failure(
            _NAME,
            f"{told}: a lost worker is noticed after worker_lost_after + repair_interval = {_s(notices)}, so Airflow "
            "takes tasks back before their messages can be sent again",
            f"set task_queued_timeout to more than {_s(2 * notices)} (Airflow's default is 600)",
        )
    return ok(_NAME, f"{told}: longer than the {_s(notices)} until a lost worker's waiting tasks are sent again")


def _judge_health(limits: Timeouts) -> Finding:
    threshold = limits.scheduler_health_check_threshold
    told = f"[scheduler] scheduler_health_check_threshold {_s(threshold)}"
    if threshold <= BUSY_HEARTBEAT_SECONDS:
        return failure(
            _NAME,
            f"{told}: with a frozen Redis or broker, one heartbeat of the executor may take up to "
            f"{_s(BUSY_HEARTBEAT_SECONDS)}, and another scheduler would take over the tasks of a healthy one",
            "set it to 30 or more",
        )
    return ok(_NAME, f"{told}: a heartbeat of the executor takes {_s(BUSY_HEARTBEAT_SECONDS)} at most")


def _judge_retention(limits: Timeouts) -> Finding:
    kept, token = limits.record_retention, limits.task_queued_timeout
    told = f"[hybrid_executor] record_retention {_s(kept)}"
    if kept < token:
        return failure(
            _NAME,
            f"{told} is shorter than a token is valid ([scheduler] task_queued_timeout {_s(token)}): an ended task "
            "could start a second time",
            f"set record_retention to {_s(max(token, 86400))}",
        )
    if limits.broker_redelivers and kept < limits.visibility_timeout:
        return warning(
            _NAME,
            f"{told} is shorter than [celery_broker_transport_options] visibility_timeout "
            f"{_s(limits.visibility_timeout)}: records are kept for an hour longer than that instead, since a message "
            "that is delivered again must find its record",
            f"set record_retention to {_s(limits.visibility_timeout)} or more",
        )
    return ok(_NAME, f"{told}: a message that is delivered again finds the record of its task")


def _judge_workers(limits: Timeouts) -> Iterator[Finding]:
    beats, lost, dead = limits.min_heartbeat_interval, limits.worker_lost_after, limits.task_instance_heartbeat_timeout
    told = f"[hybrid_executor] worker_lost_after {_s(lost)}"
    if dead <= lost:
        yield warning(
            _NAME,
            f"{told} is not shorter than [scheduler] task_instance_heartbeat_timeout {_s(dead)}: Airflow fails the "
            "tasks of a lost worker first, without the reason",
            f"set worker_lost_after to less than {_s(dead)}",
        )
    elif beats >= lost:
        yield failure(
            _NAME,
            f"{told} is not longer than [workers] min_heartbeat_interval {_s(beats)}: running tasks of a worker that "
            "has only lost its connection to Redis would be failed",
            f"set worker_lost_after to more than {_s(3 * beats)}",
        )
    else:
        yield ok(_NAME, f"{told}: longer than the {_s(beats)} between two heartbeats of a running task")
    if limits.broker_redelivers:
        yield _judge_visibility(limits)
    grace = limits.worker_shutdown_timeout
    if grace:
        yield ok(
            _NAME,
            f"[hybrid_executor] worker_shutdown_timeout {_s(grace)}: what stops workers must wait longer "
            "(terminationGracePeriodSeconds, TimeoutStopSec, stop_grace_period)",
        )
    else:
        yield ok(
            _NAME,
            "[hybrid_executor] worker_shutdown_timeout 0: a stopping worker waits for its tasks without a limit. What "
            "stops it decides: by default Docker kills it after 10 s, Kubernetes after 30 s, systemd after 90 s",
        )


def _judge_visibility(limits: Timeouts) -> Finding:
    visible, queued = limits.visibility_timeout, limits.task_queued_timeout
    told = f"[celery_broker_transport_options] visibility_timeout {_s(visible)}"
    if visible < queued:
        return warning(
            _NAME,
            f"{told} is shorter than [scheduler] task_queued_timeout {_s(queued)}: messages of tasks that run longer "
            "are delivered again and again, and dropped each time",
            "set it to longer than your longest task (the default is 86400)",
        )
    return ok(_NAME, f"{told}: the message of a longer task is delivered again, and dropped")


def _judge_pods(limits: Timeouts) -> Iterator[Finding]:
    patience, queued = limits.launch_patience, limits.task_queued_timeout
    told = f"[hybrid_executor] launch_patience {_s(patience)}"
    if patience >= queued:
        yield warning(
            _NAME,
            f"{told} is not shorter than [scheduler] task_queued_timeout {_s(queued)}: Airflow takes the task back "
            "before the reason of the refusal is reported",
            f"set launch_patience to less than {_s(queued)}",
        )
    else:
        yield ok(_NAME, f"{told}: a pod that stays refused fails with its reason before Airflow's {_s(queued)}")
    answer = limits.execution_api_timeout
    if answer <= 5:
        yield warning(
            _NAME,
            f"[workers] execution_api_timeout {_s(answer)}: when many pods start at once, the API server answers "
            "later, and tasks fail",
            "set AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT to 60 here and in the pod template, as conf/pod_template.yaml "
            "does",
        )
    else:
        yield ok(_NAME, f"[workers] execution_api_timeout {_s(answer)} for tasks that get this configuration")


def _s(seconds: float) -> str:
    return f"{seconds:g} s"
