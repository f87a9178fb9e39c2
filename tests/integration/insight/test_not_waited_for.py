"""``why`` on an attempt that has not started, and that Airflow does not wait for any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.sdk import timezone

from hybrid_executor.store import Store
from tests.integration.conftest import QUEUE_OF_PODS, repaired
from tests.integration.insight.conftest import Asked
from tests.integration.test_unawaited import pending, set_row

Make = Callable[..., Any]
Ask = Callable[[Any], Asked]


def test_why_says_that_airflow_does_not_wait_for_it(
    make_executor: Make, make_row: Make, store: Store, schedulers: Callable[..., None], ask: Ask
) -> None:
    schedulers(1)
    executor = make_executor()
    workload = make_row(queue=QUEUE_OF_PODS)
    pending(executor, store, workload)
    asked = ask(executor)
    assert "does not wait" not in asked.why().waits_for
    set_row(workload, state="success", last_heartbeat_at=timezone.utcnow())
    assert "does not wait" not in asked.why().waits_for, "it has run, and its pod tells how it ended"
    set_row(workload, state="skipped")
    story = asked.why()
    assert story.where == "in pod ns/p"
    assert story.waits_for == (
        "Nothing: Airflow does not wait for it any more, its task instance is skipped. The scheduler takes it back "
        "within about a minute and its pod is deleted."
    )
    for _ in range(2):
        repaired(executor)
    story = asked.why()
    assert story.where == "ended before it started"
    assert story.ended_because == "Airflow does not wait for it any more: its task instance is skipped"
    assert story.advice.startswith("Airflow's audit log says who skipped, marked or cleared it")
