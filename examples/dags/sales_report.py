"""Adds up twelve weeks of sales, shop by shop. The queue of each task decides where it runs.

Tasks of the queue ``default`` run on a Celery worker, those of ``kubernetes`` in a pod, and those of ``gpu-queue`` in a
pod with the profile ``gpu``.
"""

from __future__ import annotations

import csv
import json
import os
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, get_current_context, task

DATA = Path(os.environ.get("EXAMPLE_DATA", Path(__file__).resolve().parents[1] / "data"))


def read_sales(shop: str | None = None) -> list[dict[str, str]]:
    """Return the rows of one shop, or of all shops."""
    with (DATA / "sales.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if shop in (None, row["shop"])]


class WaitForClosing(BaseOperator):
    """Waits without holding a worker or a pod: the triggerer wakes the task, which then resumes as a new attempt."""

    def __init__(self, *, seconds: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.seconds = seconds

    def execute(self, context: object) -> None:
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=self.seconds)), method_name="resume")

    def resume(self, context: object, event: object) -> str:
        return f"the shops have closed: {event}"


with DAG(dag_id="sales_report", schedule=None, catchup=False, tags=["example"], doc_md=__doc__):

    @task
    def list_shops() -> list[str]:
        """Return the names of the shops."""
        return sorted({row["shop"] for row in read_sales()})

    @task(queue="kubernetes")
    def sum_up(shop: str) -> dict[str, object]:
        """Add up one shop in its own pod."""
        rows = read_sales(shop)
        by_day: dict[str, int] = defaultdict(int)
        for row in rows:
            by_day[row["day"]] += (int(row["units"]) - int(row["returned"])) * int(row["unit_price_cents"])
        return {
            "shop": shop,
            "rows": len(rows),
            "units": sum(int(row["units"]) - int(row["returned"]) for row in rows),
            "revenue_cents": sum(by_day.values()),
            "by_day": by_day,
        }

    @task
    def add_up(shops: list[dict]) -> dict[str, int]:
        """Add up the shops."""
        return {key: sum(shop[key] for shop in shops) for key in ("rows", "units", "revenue_cents")}

    @task
    def check(total: dict[str, int]) -> None:
        """Compare with the totals that other programs computed."""
        expected = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))
        if total != expected:
            raise ValueError(f"the shops add up to {total}, but {expected} was expected")

    @task(
        queue="gpu-queue",
        executor_config={
            "KubernetesExecutor": {
                "request_cpu": "100m",
                "limit_memory": "1Gi",
                "labels": {"purpose": "forecast"},
                "env_vars": {"FORECAST_DAYS": "7"},
            }
        },
    )
    def forecast(shops: list[dict]) -> dict[str, int]:
        """Forecast the next days with a straight line and one factor per weekday."""
        by_day: dict[date, int] = defaultdict(int)
        for shop in shops:
            for day, cents in shop["by_day"].items():
                by_day[date.fromisoformat(day)] += cents
        days = sorted(by_day)
        mean_x, mean_y = (len(days) - 1) / 2, sum(by_day.values()) / len(days)
        slope = sum((x - mean_x) * (by_day[day] - mean_y) for x, day in enumerate(days))
        slope /= sum((x - mean_x) ** 2 for x in range(len(days)))

        def line(x: int) -> float:
            return mean_y + slope * (x - mean_x)

        factors: dict[int, list[float]] = defaultdict(list)
        for x, day in enumerate(days):
            factors[day.weekday()].append(by_day[day] / line(x))
        ahead = [days[-1] + timedelta(days=n + 1) for n in range(int(os.environ.get("FORECAST_DAYS", "1")))]
        return {
            day.isoformat(): round(line((day - days[0]).days) * sum(factor) / len(factor))
            for day in ahead
            for factor in [factors[day.weekday()]]
        }

    @task(retries=1, retry_delay=timedelta(seconds=2))
    def publish(total: dict[str, int], outlook: dict[str, int]) -> str:
        """Publish the report. The first try fails on purpose, to show a retry."""
        if get_current_context()["ti"].try_number == 1:
            raise ConnectionError("the archive is busy (the first try fails on purpose)")
        days = len(outlook)
        return f"{total['revenue_cents'] / 100:,.2f} so far, {sum(outlook.values()) / 100:,.2f} in the next {days} days"

    shops = list_shops()
    parts = sum_up.expand(shop=shops)
    total = add_up(parts)
    WaitForClosing(task_id="wait_for_closing", seconds=5) >> total
    checked = check(total)
    published = publish(total, forecast(parts))
    checked >> published
