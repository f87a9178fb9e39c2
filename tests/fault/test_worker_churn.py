"""Thousands of trivial messages while a worker is restarted and the server is disturbed: each attempt ends once.

HYBRID_CHURN_MESSAGES=10000 runs all courses at that size; without it a small one runs.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.executor import HybridExecutor
from tests.fault.churn import ChurnedWorker, Course, Disturbances, Server
from tests.fault.churn_near_side import LASTING_KEYS, Evidence, NearSide, lasting_keys, left_in, make_rows
from tests.integration.conftest import set_options
from tests.standalone import processes_of
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

MESSAGES = int(os.environ.get("HYBRID_CHURN_MESSAGES", "200"))
EVERY = min(100, MESSAGES // 4)
LARGE = pytest.mark.skipif("HYBRID_CHURN_MESSAGES" not in os.environ, reason="HYBRID_CHURN_MESSAGES is not set")
TOLD = {"success": "succeeded", "failed": "failed"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path / "valkey")
    yield started
    started.stop()


@pytest.fixture
def executor(server: Server, monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> Iterator[HybridExecutor]:
    set_options(
        monkeypatch,
        core__parallelism="500",
        celery__broker_url=server.url,
        hybrid_executor__agent="external",
        hybrid_executor__repair_interval="1",
        hybrid_executor__worker_lost_after="5",
    )
    started = HybridExecutor(parallelism=500)
    started.job_id = 1
    started.start()
    yield started
    started.terminate()


@pytest.fixture
def start_workers(server: Server, tmp_path: Path) -> Iterator[Callable[..., list[ChurnedWorker]]]:
    """Return a function that starts two workers."""
    workers: list[ChurnedWorker] = []

    def start(course: Course, *, database: str, marks: Path) -> list[ChurnedWorker]:
        environment = {name: text for name, text in os.environ.items() if not name.startswith("AIRFLOW__")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment |= {
            "AIRFLOW_HOME": str(tmp_path),
            "CHURN_REDIS": server.url,
            "CHURN_MARKS": str(marks),
            "CHURN_DATABASE": database,
            "CHURN_ACKS_LATE": str(course.acks_late),
            "CHURN_PREFETCH": str(course.prefetch),
            "CHURN_VISIBILITY": str(course.visibility_seconds),
        }
        for number in range(2):
            workers.append(
                ChurnedWorker(f"worker{number}@churn", tmp_path, environment, concurrency=course.concurrency)
            )
            workers[-1].start()
        for worker in workers:
            worker.wait_until_ready()
        return workers

    yield start
    for worker in workers:
        worker.kill()


COURSES = [
    pytest.param(Course(restart=signal.SIGTERM, pause="client"), id="sigterm-client"),
    pytest.param(Course(restart=signal.SIGTERM, pause="stopped", prefetch=4), id="sigterm-stopped", marks=LARGE),
    pytest.param(
        Course(restart=signal.SIGTERM, pause="asleep", acks_late=False, concurrency=2),
        id="sigterm-asleep-acks-early",
        marks=LARGE,
    ),
    pytest.param(Course(restart=signal.SIGKILL, pause="client", prefetch=4), id="sigkill-client", marks=LARGE),
    pytest.param(
        Course(restart=signal.SIGKILL, whole_group=True, pause="stopped", concurrency=8),
        id="sigkill-group-stopped",
        marks=LARGE,
    ),
    pytest.param(
        Course(restart=signal.SIGKILL, whole_group=True, pause="client", acks_late=False, prefetch=4),
        id="sigkill-group-client-acks-early",
        marks=LARGE,
    ),
    pytest.param(Course(restart=signal.SIGTERM, pause="crashed", prefetch=4), id="sigterm-crashed", marks=LARGE),
    pytest.param(Course(restart=signal.SIGKILL, pause="crashed"), id="sigkill-crashed", marks=LARGE),
]


@pytest.mark.parametrize("course", COURSES)
def test_each_attempt_ends_exactly_once(
    course: Course,
    server: Server,
    executor: HybridExecutor,
    start_workers: Callable[..., list[ChurnedWorker]],
    tmp_path: Path,
) -> None:
    marks = tmp_path / "marks"
    marks.touch()
    workloads, database = make_rows(MESSAGES)
    workers = start_workers(course, database=database, marks=marks)
    near_side = NearSide(executor, workloads)
    begun = time.monotonic()
    with Disturbances(
        course, server, workers[1], ended=lambda: near_side.count_ended, every=EVERY, last=MESSAGES
    ) as disturbances:

        def beat_until(holds: Callable[[], bool], *, seconds: float, what: str) -> None:
            deadline = time.monotonic() + seconds
            while not holds():
                assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {what}; {left_in(server.url)}"
                assert not disturbances.errors, disturbances.errors
                near_side.beat()
                time.sleep(0.2)

        beat_until(
            lambda: near_side.count_ended >= MESSAGES,
            seconds=PATIENCE_SECONDS + MESSAGES / 5,
            what="everything has ended",
        )
        seconds = time.monotonic() - begun
        beat_until(lambda: disturbances.are_over, seconds=120, what="the last restart is over")
        beat_until(lambda: not left_in(server.url), seconds=60, what="nothing is left of messages and attempts")
    assert min(disturbances.restarts, disturbances.pauses) > 0
    evidence = Evidence(server.url, near_side, workloads, marks)
    print(f"{MESSAGES} in {seconds:.0f} s, {disturbances.restarts} restarts, {disturbances.pauses} pauses")
    check_that_each_ended_once(evidence)
    if course.restart is signal.SIGTERM:
        check_that_each_ran_once(evidence)
    else:
        check_that_none_ran_twice(evidence)
    assert lasting_keys(server.url) == LASTING_KEYS
    for worker in workers:
        worker.end()
    wait_until(lambda: not processes_of(tmp_path), seconds=10, what="no process of a worker is left")
    assert set(workers[0].exit_codes + workers[1].exit_codes[-1:]) == {0}
    if course.restart is signal.SIGTERM:
        assert set(workers[1].exit_codes) == {0}


def check_that_each_ended_once(evidence: Evidence) -> None:
    """One end on the stream, the same one in the record, the same one told to the scheduler."""
    told = {number: evidence.told[number] for number in range(MESSAGES)}
    assert {number: ends for number, ends in told.items() if len(ends) != 1} == {}
    ends: dict[int, Any] = {number: TOLD[ends[0][0]] for number, ends in told.items()}
    assert evidence.recorded == ends
    assert evidence.streamed == {number: [end] for number, end in ends.items()}


def check_that_each_ran_once(evidence: Evidence) -> None:
    """Restarts in good order and pauses cost nothing: no failure, no second run, no second claim."""
    once = dict.fromkeys(range(MESSAGES), 1)
    assert (evidence.begun, evidence.ended, evidence.claims) == (once, once, once)
    assert [ends for ends in evidence.told.values() if ends[0][0] != "success"] == []


def check_that_none_ran_twice(evidence: Evidence) -> None:
    """A body that was killed fails with the reason; one that never began is run by another worker."""
    assert {number for number, count in evidence.begun.items() if count > 1} == set()
    for number, [(state, words)] in evidence.told.items():
        if state == "success":
            assert (evidence.begun[number], evidence.ended[number]) == (1, 1)
        else:
            assert words == "worker lost: worker1@churn went away without telling how it ended"
