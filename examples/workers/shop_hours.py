"""The opening hours of three shops: an example whose tasks all run on Celery workers."""

from __future__ import annotations

from airflow.sdk import DAG, task

HOURS = {"harbour": (8, 20), "market": (7, 14), "station": (5, 23)}

with DAG(dag_id="shop_hours", schedule=None, catchup=False, tags=["example"], doc_md=__doc__):

    @task
    def open_hours(shop: str) -> int:
        """Return how many hours a shop is open."""
        opens, closes = HOURS[shop]
        return closes - opens

    @task
    def add_up(hours: list[int]) -> int:
        """Add up the shops."""
        return sum(hours)

    add_up(open_hours.expand(shop=sorted(HOURS)))
