"""Several schedulers on PostgreSQL: each try runs once, and what a dead one answered for goes on under another."""

from __future__ import annotations

from collections import Counter

import pytest

from hybrid_executor.executor.reports import FAILED_EVENT
from hybrid_executor.states import State
from hybrid_executor.store import Record
from tests.fault.course import course, records, wait_begun, wait_records
from tests.fault.deployment import Deployment
from tests.fault.load import Load
from tests.faulty_sandbox import Fault
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("count", [3, 2])
def test_each_try_runs_once_whatever_is_cleared_marked_retried_deferred_or_timed_out(
    deployment: Deployment, count: int
) -> None:
    with course(deployment) as load:
        for name in deployment.schedulers[count:]:
            assert deployment.part(name).stop() == 0
        load.start("everything")
        load.start("load")
        load.start("everything")
        wait_all(load)
    with course(deployment, may_spend_tries=True) as load:
        held = load.start("held")
        wait_begun(load, held, "cleared", "cleared_pod", "marked", "marked_pod")
        load.clear(held, "cleared", "cleared_pod")
        load.mark_success(held, "marked")
        load.mark_success(held, "marked_pod")
        wait_all(load)
        tries = {task.task_id: [one.state for one in of_task] for task, of_task in load.tries([held]).items()}
        assert tries["marked"] == tries["marked_pod"] == ["success"]
        assert len(tries["cleared"]) == len(tries["cleared_pod"]) == 2
        told = {task: text for task, event, text in load.audit([held]) if event == FAILED_EVENT}
        assert set(told) == {"cleared", "marked"}
        assert all(text.startswith("Airflow ended it while it ran") for text in told.values()), told


def wait_all(load: Load) -> None:
    load.wait(*load.runs)


def owner_of_most(deployment: Deployment, found: list[Record]) -> str:
    """Return the scheduler that answers for most of these attempts."""
    owners = Counter(str(record.owner) for record in found)
    jobs = {deployment.job_of(name): name for name in deployment.schedulers}
    return jobs[max((owner for owner in owners if owner in jobs), key=owners.__getitem__)]


def wait_adopted(deployment: Deployment, job: str) -> None:
    """Wait until Airflow takes a scheduler for dead and nobody answers for attempts in its name."""
    wait_until(lambda: deployment.job_state(job) != "running", what="Airflow takes the scheduler for dead")
    with deployment.redis.client() as client:
        wait_until(lambda: not client.scard(f"{{hybrid:airflow}}:owner:{job}"), what="its attempts are adopted")


def test_what_waits_launches_and_runs_goes_on_untouched_when_its_scheduler_is_killed(deployment: Deployment) -> None:
    with course(deployment) as load:
        # Pods start slowly on a busy machine; the tasks on workers are to run when they have.
        pods = load.start("load", seconds=60)
        wait_begun(load, pods, "in_pod", "in_pod_a", "in_pod_b")
        running = load.start("workers", seconds=40)
        wait_begun(load, running, "on_worker", count=4)
        refused = deployment.sandbox.faults.add(
            Fault("status", method="POST", path="/pods$", code=503, retry_after_seconds=1)
        )
        waiting = load.start("load", seconds=1)
        found = wait_records(
            deployment,
            waiting,
            lambda found: Counter(record.pool for record in found) == {"celery": 4, "kubernetes": 3},
            what="all of them are submitted, and none of them can start",
        )
        found += records(deployment, running) + records(deployment, pods)
        assert {State.SUBMITTED, State.RUNNING} <= {record.state for record in found}
        patches = deployment.sandbox.faults.add(Fault("slow", method="PATCH", resource="pods"))
        victim = owner_of_most(deployment, found)
        job = deployment.job_of(victim)
        deployment.part(victim).kill()
        wait_adopted(deployment, job)
        assert deployment.sandbox.faults.hits(patches) == 0
        deployment.sandbox.faults.remove(refused)


def test_what_is_pending_or_ended_unseen_is_taken_in_when_its_scheduler_is_killed(deployment: Deployment) -> None:
    with course(deployment) as load:
        deployment.sandbox.faults.lose_node()
        run = load.start("load", seconds=4)
        found = wait_records(
            deployment,
            run,
            lambda found: sum(r.pool == "kubernetes" and bool(r.pod) for r in found) == 3,
            what="pods are pending",
        )
        victim = owner_of_most(deployment, found)
        job = deployment.job_of(victim)
        deployment.part(victim).pause()
        wait_records(
            deployment, run, lambda found: all(r.pool == "kubernetes" for r in found), what="the tasks on workers end"
        )
        deployment.part(victim).kill()
        deployment.sandbox.faults.recover_node()
        wait_adopted(deployment, job)


def test_a_scheduler_that_wakes_after_others_took_over_does_no_harm(deployment: Deployment) -> None:
    with course(deployment) as load:
        run = load.start("load", seconds=30)
        wait_begun(load, run, "on_worker", "in_pod", "in_pod_a", "in_pod_b")
        victim = owner_of_most(deployment, records(deployment, run))
        job = deployment.job_of(victim)
        deployment.part(victim).pause()
        wait_adopted(deployment, job)
        load.wait(run)
        deployment.part(victim).resume()
        load.start("everything")
        load.start("load")
        wait_all(load)
        mismatches = [row for row in load.audit(load.runs) if row[1] == "state mismatch"]
        assert mismatches == []


def test_an_adoption_ends_although_somebody_waits_for_the_whole_table_of_tasks(deployment: Deployment) -> None:
    """The adopting scheduler has rows locked, and reads them in a session of its executor's own."""
    with course(deployment) as load:
        run = load.start("load", seconds=30)
        wait_begun(load, run, "on_worker", "in_pod", "in_pod_a", "in_pod_b")
        victim = owner_of_most(deployment, records(deployment, run))
        job = deployment.job_of(victim)
        deployment.part(victim).kill()
        with deployment.postgres.wanted("task_instance"):
            wait_adopted(deployment, job)
