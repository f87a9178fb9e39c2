"""Attempts as tests of the store submit them."""

from __future__ import annotations

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.store import Submission

ONE, TWO = OwnerId("1"), OwnerId("2")
A, B = AttemptId("a"), AttemptId("b")


def submission(attempt: AttemptId = A, *, pool: str = "celery", **rest: object) -> Submission:
    values = {"owner": ONE, "fields": {"dag_id": "d", "queue": "q"}, "payload": "secret"} | rest
    return Submission(attempt=attempt, pool=pool, **values)  # type: ignore[arg-type]


def pod_submission(attempt: AttemptId = A) -> Submission:
    return submission(attempt, pool="kubernetes", cluster="c", fields={"cluster": "c", "pod": "p", "namespace": "n"})
