from concurrent.futures import ThreadPoolExecutor

from airflow import DAG
from airflow.executors.celery_kubernetes_executor import CeleryKubernetesExecutor
from airflow.kubernetes.secret import Secret
from airflow.operators.bash import BashOperator

EXECUTOR = CeleryKubernetesExecutor
POOL = ThreadPoolExecutor()
SECRET = Secret("env", "TOKEN", "tokens", "one")

with DAG("old_imports"):
    BashOperator(task_id="worker", bash_command="true")
    BashOperator(
        task_id="pod",
        bash_command="true",
        queue="kubernetes",
        executor_config={
            "KubernetesExecutor": {"image": "apache/airflow:2.10.5", "request_memory": "2Gi", "volumns": []},
        },
    )
    BashOperator(task_id="reports", bash_command="true", queue="reports")
    BashOperator(
        task_id="both",
        bash_command="true",
        queue="kubernetes",
        executor_config={
            "KubernetesExecutor": {"image": "x"},
            "pod_override": SECRET,
        },
    )
    BashOperator(
        task_id="template",
        bash_command="true",
        queue="kubernetes",
        executor_config={"pod_template_file": "/opt/airflow/special.yaml"},
    )
