"""A deployment to ask about: records made by the real executor, and Airflow's database beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from hybrid_executor.insight.overview import Overview, read_overview
from hybrid_executor.insight.story import Story, read_story
from hybrid_executor.store import Store
from tests.integration import rows


@pytest.fixture
def schedulers(airflow_db: None) -> Iterator[Callable[..., None]]:
    """Return a function that writes scheduler jobs into Airflow's database."""
    from airflow.jobs.job import Job
    from sqlalchemy import delete, insert

    session = rows.open_session()
    session.execute(delete(Job))
    session.commit()

    def write(*jobs: int, silent_seconds: float = 0.0) -> None:
        heard = datetime.now(timezone.utc) - timedelta(seconds=silent_seconds)
        same = {"job_type": "SchedulerJob", "state": "running", "latest_heartbeat": heard, "hostname": "host"}
        session.execute(insert(Job), [same | {"id": job} for job in jobs])
        session.commit()

    yield write
    session.execute(delete(Job))
    session.commit()
    session.close()


class Asked:
    """What people ask of a deployment."""

    def __init__(self, store: Store, session: Any, settings: Any) -> None:
        self.store, self.session, self.settings = store, session, settings

    def why(self, task_id: str = "task", **rest: Any) -> Story:
        self.session.rollback()
        return read_story(self.store, self.session, self.settings, dag_id="dag", task_id=task_id, **rest)

    def status(self) -> Overview:
        return read_overview(self.store, self.settings)

    def problem(self, subject: str) -> str:
        """Return severity, sentence and cure of the problem about a subject."""
        found = [one for one in self.status().problems if one.subject == subject]
        assert len(found) == 1, [one.subject for one in self.status().problems]
        return f"{found[0].severity}: {found[0].what} -> {found[0].cure}"


@pytest.fixture
def ask(store: Store, session: Any) -> Callable[[Any], Asked]:
    """Return a function that asks about an executor's deployment."""
    return lambda executor: Asked(store, session, executor.settings)
