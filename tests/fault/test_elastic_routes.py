"""Tasks overflow from workers to spot pods and to other pods, while workers are scaled to zero and schedulers die.

``make test-elastic TASKS=1000`` runs it at that size. ``HYBRID_ELASTIC_TASKS`` is the same for pytest; without it, the
test is skipped. It prints the makespan beside the ideal one, and fails if HYBRID_ELASTIC_RATIO is set and lower.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hybrid_executor.sandbox.objects import PODS
from tests.fault.elastic import LIMITS, ElasticCourse
from tests.waiting import wait_until

TASKS = int(os.environ.get("HYBRID_ELASTIC_TASKS", "0"))
SECONDS = float(os.environ.get("HYBRID_ELASTIC_SECONDS", "5"))
SEED = int(os.environ.get("HYBRID_ELASTIC_SEED", "1"))
RATIO = float(os.environ.get("HYBRID_ELASTIC_RATIO", "0"))
_EVICT_EVERY_SECONDS = 4.0

pytestmark = [
    pytest.mark.fault,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not TASKS, reason="HYBRID_ELASTIC_TASKS is not set"),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> Iterator[ElasticCourse]:
    with ExitStack() as stack:
        yield ElasticCourse(tmp_path, stack, monkeypatch, tasks=TASKS, seconds=SECONDS, seed=SEED)


def test_overflow_evictions_and_dead_schedulers_cost_no_task_and_no_second_run(
    course: ElasticCourse, capsys: pytest.CaptureFixture[str]
) -> None:
    happenings = [
        (0.2, course.kill_scheduler),
        (0.3, course.scale_to_zero),
        (0.4, course.kill_scheduler),
        (0.45, course.replace_agent),
        (0.5, course.scale_up),
        (0.7, course.kill_scheduler),
    ]
    course.start_workers()
    begun = evict_at = time.monotonic()
    done = 0
    with course.watch.running():
        deadline = begun + 120 + TASKS * SECONDS / 5
        while done < TASKS:
            assert time.monotonic() < deadline, f"{done} of {TASKS} are done; {course.watch.most}"
            course.beat()
            done = len(course.states("success"))
            if happenings and done >= TASKS * happenings[0][0]:
                happenings.pop(0)[1]()
            if time.monotonic() >= evict_at:
                course.evict_one()
                evict_at = time.monotonic() + course.random.uniform(0.5, 1.5) * _EVICT_EVERY_SECONDS
    ended = time.monotonic()
    wait_until(lambda: (course.beat(), not any(e.running for e in course.executors.values()))[1], what="slots are free")
    with capsys.disabled():
        report(course, begun=begun, ended=ended)
    check(course)
    pods = course.sandbox.cluster
    wait_until(lambda: not course.sandbox.call(lambda: pods.select(PODS)), what="no pod is left")


def check(course: ElasticCourse) -> None:
    """Everything is done once, and no target ever had more than its limit."""
    ended = Counter(index for index, _, _ in course.marked("end"))
    assert ended == dict.fromkeys(range(TASKS), 1)
    begun = Counter((index, number) for index, number, _ in course.marked("begin"))
    assert {step: times for step, times in begun.items() if times > 1} == {}
    assert course.marked("refused") == []
    told = Counter((index, number) for index, number, _ in course.ends.elements())
    assert {step: times for step, times in told.items() if times > 1} == {}
    for target, limit in LIMITS.items():
        placed, live = course.watch.most[target]
        assert 0 < placed <= limit, f"{target}: {placed} placed"
        assert 0 < live <= limit, f"{target}: {live} live"


def report(course: ElasticCourse, *, begun: float, ended: float) -> None:
    """Print what was seen; raise if the makespan is above the wanted ratio."""
    makespan = ended - begun
    down = max(0.0, makespan - course.up_until(ended))
    # Each task once, on all slots that were there: those of the workers only while they were up.
    ideal = (TASKS * SECONDS + LIMITS["celery"] * down) / sum(LIMITS.values())
    tries = Counter(number for _, number, _ in course.marked("end"))
    print(
        f"\n{TASKS} tasks of {SECONDS:g} s, seed {SEED}: {makespan:.0f} s, ideal {ideal:.0f} s, ratio "
        f"{makespan / ideal:.2f}; workers down for {down:.0f} s; {course.evicted} pods evicted, {course.killed} "
        f"schedulers killed ({course.given_back} tasks given back to Airflow); successful tries {dict(tries)}; most on "
        f"each target, by place and by records, in {course.watch.looks} looks: {course.watch.most}"
    )
    assert not RATIO or makespan <= RATIO * ideal
