"""What is wrong in a deployment follows from what was read, failures first."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.config import DictConfig, Settings, read_settings
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.insight.facts import Facts
from hybrid_executor.insight.members import AgentView, WorkerView
from hybrid_executor.insight.problems import Problem, find_problems
from hybrid_executor.insight.queues import view_queues
from hybrid_executor.insight.slots import PoolView, SchedulerView, view_pools
from hybrid_executor.states import State
from hybrid_executor.store import Record

NOW = 1_000_000_000
ALIVE = SchedulerView(job_id="1", hostname="h", is_alive=True, heartbeat_age=1, live={})
AGENT = AgentView(
    name="agent-1", state="running", clusters=("default",), watches=("default/ns",), places=("default/ns",)
)
WORKER = WorkerView(name="w", state="running", queues=("q",), concurrency=4)
SETTINGS: Settings = read_settings(DictConfig({"hybrid_executor": {"redis_url": "redis://localhost"}}))


def record(state: State = State.SUBMITTED, **rest: Any) -> Record:
    known = {"id": AttemptId("a"), "generation": 1, "owner": OwnerId("1"), "pool": "celery", "queue": "q"}
    return Record(state=state, **({**known, "submitted_at": NOW - 90_000} | rest))


def facts(*records: Record, **rest: Any) -> Facts:
    return Facts(**({"now": NOW, "workers": (WORKER,), "agents": (AGENT,), "records": records} | rest))


def problems(found: Facts, **rest: Any) -> list[Problem]:
    return find_problems(found, SETTINGS, **({"schedulers": (ALIVE,), "pools": ()} | rest))


def test_a_deployment_that_works_has_none() -> None:
    assert problems(facts(record(), record(State.RUNNING, holder="w"))) == []


@pytest.mark.parametrize(
    ("found", "rest", "severity", "words"),
    [
        (facts(), {"schedulers": ()}, "failure", "No scheduler is alive"),
        (facts(record(), workers=()), {}, "failure", "1 attempt waits in queue q, which no living worker serves"),
        (
            facts(record(pool="kubernetes", cluster="default"), agents=()),
            {},
            "failure",
            "1 attempt waits for pods in cluster default, for which no agent is alive",
        ),
        (facts(agents=()), {}, "warning", "No agent is alive for cluster default; no pod waits yet"),
        (
            facts(
                record(State.RUNNING, holder="gone"),
                workers=(WORKER, WorkerView(name="gone", state="silent", heartbeat_age=50)),
            ),
            {},
            "failure",
            "Worker gone has been silent for 50 s and ran 1 task",
        ),
        (
            facts(workers=(WORKER, WorkerView(name="gone", state="silent", heartbeat_age=50))),
            {},
            "warning",
            "Worker gone fell silent 50 s ago; it runs nothing",
        ),
        (
            facts(workers=(WorkerView(name="w", state="deaf", queues=("q",)),)),
            {},
            "warning",
            "Worker w takes no messages",
        ),
        (
            facts(agents=(AgentView(name="a", state="running", clusters=("default",), places=("default/ns",)),)),
            {},
            "warning",
            "No agent watches default/ns now",
        ),
        (
            facts(record(pool="kubernetes", cluster="default", note="Waiting for quota: q")),
            {},
            "warning",
            "1 attempt of queue q cannot start, the first for 90 s: Waiting for quota: q",
        ),
        (
            facts(),
            {"pools": (PoolView(name="celery", limit=2, per_scheduler=2, occupied=2, full=("1",), queued=3),)},
            "warning",
            "Pool celery is full: 2 of 2 slots are used; 3 tasks wait in Airflow as queued",
        ),
        (
            facts(),
            {"failed": (record(State.FAILED, reason="Pod p cannot get its image", category="image_pull"),)},
            "warning",
            "1 attempt of queue q failed in the last 15 minutes; the last one: Pod p cannot get its image",
        ),
        (
            facts(),
            {
                "schedulers": (
                    ALIVE,
                    SchedulerView(job_id="2", hostname="x", is_alive=False, heartbeat_age=60, live={"celery": 5}),
                )
            },
            "warning",
            "Scheduler job 2 on x has sent no heartbeat for 60 s and owns 5 live attempts",
        ),
    ],
)
def test_each_break_is_one_problem_with_a_cure(found: Facts, rest: dict[str, Any], severity: str, words: str) -> None:
    [problem] = problems(found, **rest)
    assert problem.severity == severity
    assert words in problem.what
    assert problem.cure


def test_a_task_that_failed_by_itself_is_no_problem_of_the_deployment() -> None:
    failed = (record(State.FAILED, reason="exit code 1", category="exit_nonzero"), record(State.FAILED))
    assert problems(facts(), failed=failed) == []


def test_failures_come_first() -> None:
    found = problems(facts(record(queue="etl"), agents=()))
    assert [problem.severity for problem in found] == ["failure", "warning"]


def test_slots_count_for_each_scheduler() -> None:
    records = [record(id=AttemptId(str(number)), owner=OwnerId("1")) for number in range(32)]
    full = SchedulerView(job_id="1", hostname="h", is_alive=True, heartbeat_age=1, live={"celery": 32})
    queues = view_queues(facts(*records), SETTINGS)
    pool = view_pools(SETTINGS, (full, ALIVE), records, queues)[0]
    assert (pool.name, pool.occupied, pool.limit, pool.full) == ("celery", 32, 64, ("1",))


def test_a_queue_shows_what_waits_runs_and_who_serves_it() -> None:
    found = facts(record(), record(State.RUNNING, id=AttemptId("b"), holder="w"))
    [queue] = [view for view in view_queues(found, SETTINGS, messages={"q": 1}) if view.name == "q"]
    assert (queue.depth, queue.running, queue.messages, queue.oldest_age) == (1, 1, 1, 90.0)
    assert (queue.served_by, queue.slots, queue.free, queue.advice) == (("w",), 4, 4, "")
