"""Tasks that fail once and are retried, and tasks that defer and resume, on each side."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, get_current_context, task


class Pause(BaseOperator):
    def execute(self, context: object) -> None:
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=1)), method_name="resume")

    def resume(self, context: object, event: object) -> str:
        return "resumed"


with DAG("recovering", schedule=None):

    @task(retries=1, retry_delay=timedelta(seconds=1))
    def fails_once() -> int:
        number = get_current_context()["ti"].try_number
        if number == 1:
            raise ValueError("on purpose")
        return number

    fails_once.override(task_id="fails_on_worker")()
    fails_once.override(task_id="fails_in_pod", queue="kubernetes")()
    Pause(task_id="pauses_on_worker")
    Pause(task_id="pauses_in_pod", queue="kubernetes")
