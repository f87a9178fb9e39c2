"""Twenty Dags with fifty tasks each, as a factory of Dags makes them. Only the first is run."""

from airflow.sdk import DAG, task

_TASKS = 50


def make(number: int) -> DAG:
    """Return a Dag whose tasks do nothing and depend on nothing."""
    with DAG(f"many_{number:02}", schedule=None, is_paused_upon_creation=False) as dag:
        for index in range(_TASKS):

            @task(task_id=f"nothing_{index:02}", retries=0, params={"number": number, "index": index})
            def nothing() -> None:
                """Return."""

            nothing()
    return dag


dags = {f"many_{number:02}": make(number) for number in range(20)}
globals().update(dags)
