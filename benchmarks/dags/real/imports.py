"""One Dag whose file imports pandas and a large provider, as many files do."""

import pandas
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.sdk import dag, task


@dag(schedule=None, is_paused_upon_creation=False)
def imports() -> None:
    """Run tasks that use nothing of what the file imports."""
    for index in range(50):

        @task(task_id=f"nothing_{index:02}", retries=0)
        def nothing() -> str:
            """Return what is imported."""
            return f"{pandas.__name__} {S3Hook.__name__}"

        nothing()


imports()
