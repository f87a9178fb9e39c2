"""Work for the fault tests: each task writes when it begins and when it ends. A run's conf may set ``seconds``."""

from __future__ import annotations

import os
import time
from datetime import timedelta

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, TriggerRule, get_current_context, task


def note(what: str, step: str = "body") -> None:
    """Append a line to the marks, in one write that no other can tear."""
    ti = get_current_context()["ti"]
    words = (what, ti.run_id, ti.task_id, ti.map_index, ti.try_number, step, os.getpid(), time.time())
    marks = os.open(os.environ["FAULT_MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(marks, ("\t".join(map(str, words)) + "\n").encode())
    finally:
        os.close(marks)


def seconds() -> float:
    return float((get_current_context()["dag_run"].conf or {}).get("seconds", 1))


class Pause(BaseOperator):
    def execute(self, context: object) -> None:
        note("begin", "first")
        note("end", "first")
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=1)), method_name="resume")

    def resume(self, context: object, event: object) -> None:
        note("begin", "resumed")
        note("end", "resumed")


RETRIES = {"retries": 5, "retry_delay": timedelta(seconds=0)}


@task
def work(number: int = 0) -> None:
    note("begin")
    time.sleep(seconds())
    note("end")


with DAG("load", schedule=None, default_args=RETRIES, max_active_runs=50):
    work.override(task_id="on_worker").expand(number=[1, 2, 3, 4])
    work.override(task_id="in_pod", queue="kubernetes")()
    work.override(task_id="in_pod_a", queue="pods-a")()
    work.override(task_id="in_pod_b", queue="pods-b")()

with DAG("workers", schedule=None, default_args=RETRIES, max_active_runs=50):
    work.override(task_id="on_worker").expand(number=[1, 2, 3, 4, 5, 6])

with DAG("everything", schedule=None, default_args=RETRIES, max_active_runs=50):

    @task
    def fails_once() -> None:
        note("begin")
        note("end")
        if get_current_context()["ti"].try_number == 1:
            raise ValueError("on purpose")

    @task(execution_timeout=timedelta(seconds=2), retries=0)
    def times_out() -> None:
        note("begin")
        time.sleep(60)

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def last() -> None:
        note("begin")
        note("end")

    mapped = work.override(task_id="mapped").expand(number=[1, 2, 3])
    in_pod = work.override(task_id="in_pod", queue="kubernetes")()
    retried = fails_once.override(task_id="retried")()
    retried_pod = fails_once.override(task_id="retried_pod", queue="pods-a")()
    late = times_out.override(task_id="timed_out")()
    late_pod = times_out.override(task_id="timed_out_pod", queue="pods-b")()
    pauses = Pause(task_id="deferred")
    pauses_in_pod = Pause(task_id="deferred_pod", queue="kubernetes")
    [mapped, in_pod, retried, retried_pod, late, late_pod, pauses, pauses_in_pod] >> last()

with DAG("held", schedule=None, default_args=RETRIES, max_active_runs=50):

    @task
    def until_it_is_told() -> None:
        """Run for a minute in its first try, for nothing in a later one."""
        note("begin")
        time.sleep(60 if get_current_context()["ti"].try_number == 1 else 0)
        note("end")

    until_it_is_told.override(task_id="cleared")()
    until_it_is_told.override(task_id="cleared_pod", queue="kubernetes")()
    until_it_is_told.override(task_id="marked")()
    until_it_is_told.override(task_id="marked_pod", queue="pods-a")()
