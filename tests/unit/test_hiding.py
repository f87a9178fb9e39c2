"""Secrets in texts that others wrote."""

from __future__ import annotations

from base64 import b64encode

import pytest

from hybrid_executor.errors import ConfigError, HybridError, KubeError, KubeUnavailable, StoreUnavailable, TaskRejected
from hybrid_executor.hiding import HIDDEN, hide_secrets, traceback_of, without_secrets
from hybrid_executor.pools.celery_message import build_message
from hybrid_executor.pools.work import Work
from hybrid_executor.store import Submission

SECRET = "markedTokenThatNobodyMaySee"
JWT = "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl-_x"
WORKLOAD = f'{{"token": "{SECRET}", "ti": {{"dag_id": "d"}}, "type": "ExecuteTask"}}'
MESSAGE = build_message("a", WORKLOAD, queue="q", owner="1", instance="i", generation=1)  # type: ignore[arg-type]
ENCODED = b64encode(WORKLOAD.encode()).decode()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (
            f"Command # 2 (LPUSH q {MESSAGE}) of pipeline caused error: OOM command not allowed",
            "OOM command not allowed",
        ),
        (f"Command # 2 (LPUSH q {MESSAGE[:90]}...) of pipeline caused error: READONLY x", "READONLY x"),
        (f"Invalid header value b'Bearer {SECRET}\\n'", f"Invalid header value b'Bearer {HIDDEN}\\n'"),
        (f"Authorization: bearer {SECRET}", f"Authorization: bearer {HIDDEN}"),
        (f"(args: {WORKLOAD!r})", f"(args: {WORKLOAD!r})".replace(SECRET, HIDDEN)),
        ('{"x": "{\\"token\\": \\"' + SECRET + '\\"}"}', '{"x": "{\\"token\\": \\"' + HIDDEN + '\\"}"}'),
        (f"{{'token': '{SECRET}'}}", f"{{'token': '{HIDDEN}'}}"),
        (f"token {JWT} expired", f"token {HIDDEN} expired"),
        (f"token {JWT[:30]}... expired", f"token {HIDDEN}... expired"),
    ],
)
def test_a_secret_is_taken_out_and_the_rest_stays(text: str, cleaned: str) -> None:
    assert hide_secrets(text) == cleaned


def test_a_message_shows_nothing_of_its_body() -> None:
    body = b64encode(f'[["{WORKLOAD * 3}"]]'.encode()).decode()
    assert body[:20] not in hide_secrets(f"Could not restore message: {{'body': '{body}'}}")


@pytest.mark.parametrize(
    "text",
    [
        "Redis cannot be reached: Error 111 connecting to 10.0.0.1:6379. Connection refused.",
        "create pod airflow/dag-task-2f56456bc250: HTTP 403 Forbidden: exceeded quota: small, requested: cpu=2",
        "manual__2026-11-25T16:10:18.241218+00:00_" + "a_long_dag_id_" * 18,
        "sha256:" + "0a" * 32,
        "its token may have expired while it waited",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert hide_secrets(text) == text


@pytest.mark.parametrize("kind", [HybridError, ConfigError, StoreUnavailable, TaskRejected, KubeError, KubeUnavailable])
def test_no_error_of_ours_shows_a_secret_that_it_is_told(kind: type[HybridError]) -> None:
    error = kind(f"It failed: Bearer {SECRET}")
    assert SECRET not in repr(error)
    assert str(error) == f"It failed: Bearer {HIDDEN}"


def test_an_error_of_others_is_cleaned_with_its_traceback() -> None:
    error = ValueError(f"Bearer {SECRET}", 3)
    assert SECRET not in traceback_of(error)
    assert "ValueError" in traceback_of(error)
    assert without_secrets(error).args == (f"Bearer {HIDDEN}", 3)


def test_no_value_of_ours_shows_a_workload() -> None:
    work = Work(attempt="a", owner="1", kind="task", workload_id="k", queue="q", payload=WORKLOAD)  # type: ignore[arg-type]
    submission = Submission(
        attempt=work.attempt,
        owner=work.owner,
        pool="celery",
        fields={},
        payload=WORKLOAD,
        message=MESSAGE,
        overrides=SECRET,
    )
    for shown in (repr(work), repr(submission)):
        assert SECRET not in shown
        assert ENCODED[:16] not in shown
