"""Workers that are killed at each step of an attempt, with their host, or cut off while they live."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import pytest

from tests.fault.course import course, records, wait_begun, wait_records
from tests.fault.deployment import Deployment
from tests.fault.load import Load
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]
_AGAIN_SECONDS = 75.0


def name_of(holder: str) -> str:
    return holder.partition("@")[0]


def held_by(deployment: Deployment, run: str, worker: str) -> set[int]:
    """Return the map indexes of the tasks that a worker runs."""
    return {r.map_index for r in records(deployment, run) if name_of(r.holder) == worker}


def test_what_a_lost_host_ran_is_done_again_soon_and_what_waited_there_too(deployment: Deployment) -> None:
    with course(deployment, may_spend_tries=True) as load:
        run = load.start("workers", seconds=20)
        waiting = load.start("workers", seconds=1)
        wait_begun(load, run, "on_worker", count=6)
        lost, since = held_by(deployment, run, "worker-1"), time.time()
        assert lost
        deployment.part("worker-1").kill()

        def are_done_again() -> bool:
            return all(any(s.try_number == 2 and s.map_index == index for s in load.marks.ended) for index in lost)

        wait_until(are_done_again, what=lambda: f"{lost} are done again: {load.unfinished([run])}", every_seconds=0.2)
        took = time.time() - since
        print(f"{len(lost)} tasks of 20 s were done again {took:.0f} s after their worker was killed")
        assert took < _AGAIN_SECONDS
        load.wait(run, waiting)
        tries = load.tries([run])
        assert {task.map_index for task, of_task in tries.items() if len(of_task) > 1} == lost
        reasons = [text for _, event, text in load.audit([run]) if event.startswith("hybrid executor:")]
        assert len(reasons) == len(lost)
        assert all("worker lost: worker-1@faults" in text for text in reasons), reasons


def test_what_no_process_had_started_costs_no_try_when_its_worker_is_killed(deployment: Deployment) -> None:
    with course(deployment) as load:
        deployment.part("worker-2").kill()
        deployment.part("worker-1").pause()
        run = load.start("workers")
        wait_records(deployment, run, lambda found: len(found) == 6, what="all are submitted")
        deployment.part("worker-1").resume()
        deployment.part("worker-1").kill()
        deployment.part("worker-2").start()
        load.wait(run)


def test_an_end_that_was_not_reported_counts_as_airflow_has_it(deployment: Deployment) -> None:
    with course(deployment) as load:
        run = load.start("workers", seconds=5)
        wait_begun(load, run, "on_worker", count=6)
        deployment.redis.link("worker-1").hold()
        wait_until(lambda: len(ended(load, run)) == 6, what="all have ended")
        time.sleep(3)  # Airflow's API server has heard of it
        deployment.part("worker-1").kill()
        deployment.redis.link("worker-1").mend()
        load.wait(run)


def ended(load: Load, run: str) -> set[int]:
    return {step.map_index for step in load.marks.ended if step.run_id == run}


def test_what_a_worker_runs_that_is_only_cut_off_from_redis_is_left_alone(deployment: Deployment) -> None:
    with course(deployment) as load:
        run = load.start("workers", seconds=50)
        wait_begun(load, run, "on_worker", count=6)
        deployment.redis.link("worker-1").cut()
        load.wait(run)
        print(load.audit([run]))


def test_a_killed_task_process_fails_its_try_at_once_and_no_other(deployment: Deployment) -> None:
    with course(deployment, may_spend_tries=True) as load:
        run = load.start("workers", seconds=8)
        wait_begun(load, run, "on_worker", count=6)
        step = load.marks.begun_of(run, "on_worker")[0]
        since = time.time()
        with suppress(ProcessLookupError):
            os.kill(load.marks.pids[step], signal.SIGKILL)
        again = step._replace(try_number=2)
        wait_until(lambda: again in load.marks.begun, what="it is done again")
        print(f"the next try began after {load.marks.begun[again][0] - since:.1f} s")
        load.wait(run)
        assert sum(len(of_task) for of_task in load.tries([run]).values()) == 7
