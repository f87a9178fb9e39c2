"""Tasks that choose their executor, in the ways that Airflow documents."""

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task

HEAVY = "pods"

with DAG("heavy", default_args={"queue": "etl"}):
    light = BashOperator(task_id="light", bash_command="true")
    in_pod = BashOperator(task_id="in_pod", bash_command="true", executor=HEAVY)
    own_queue = BashOperator(task_id="own_queue", bash_command="true", executor="KubernetesExecutor", queue="big")
    same = BashOperator(task_id="same", bash_command="true", executor="CeleryExecutor")
    chosen = BashOperator(task_id="chosen", bash_command="true", executor=HEAVY if light else None)

    @task(executor="pods")
    def decorated(): ...
