"""Dags for the tests of docker-compose.yml: their tasks go on when a file appears in the volume of the logs."""

from __future__ import annotations

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

WAIT = "echo begun; until [ -e /opt/airflow/logs/go-{{ run_id }} ]; do sleep 0.2; done; echo ended"

with DAG(dag_id="held", schedule=None, catchup=False):
    BashOperator(task_id="hold", bash_command=WAIT)

with DAG(dag_id="spread", schedule=None, catchup=False):
    held = [BashOperator(task_id=f"hold_{name}", bash_command=WAIT, queue=f"only-{name}") for name in "abc"]
    held >> BashOperator(task_id="finish", bash_command="echo finished")
