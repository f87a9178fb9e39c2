"""What runs before anything is measured: with their first tasks, Airflow's processes import and cache much."""

from airflow.sdk import dag, task


@dag(schedule=None, is_paused_upon_creation=False)
def before() -> None:
    """Run so many tasks that each slot has had some."""
    for index in range(50):

        @task(task_id=f"nothing_{index:02}", retries=0)
        def nothing() -> None:
            """Return."""

        nothing()


before()
