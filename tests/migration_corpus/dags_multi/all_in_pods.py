from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

default_args = {"executor": "pods", "retries": 1}

with DAG("all_in_pods", default_args=default_args):
    BashOperator(task_id="inherits", bash_command="true")
    BashOperator(task_id="names_a_queue", bash_command="true", queue="default")
    BashOperator(task_id="on_a_worker", bash_command="true", executor="CeleryExecutor")
