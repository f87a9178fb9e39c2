"""How elastic routes stand: how full their targets are, and what none of them takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hybrid_executor.compat import QueuedCount
from hybrid_executor.config import DictConfig, Settings, read_settings
from hybrid_executor.events import AttemptId
from hybrid_executor.insight.attempts import AttemptView
from hybrid_executor.insight.explaining import explain
from hybrid_executor.insight.facts import Facts
from hybrid_executor.insight.members import WorkerView
from hybrid_executor.insight.problems import find_problems
from hybrid_executor.insight.queues import view_queues
from hybrid_executor.insight.situation import Situation
from hybrid_executor.insight.targets import TargetView, onward, view_targets, why_none_takes
from hybrid_executor.scaler.demand import count_demand
from hybrid_executor.states import State
from hybrid_executor.store import Record

ROUTES = """
    etl-* = celery(max=2, wait=20s) > kubernetes(max=1)
    reports = celery(served, max=3) > kubernetes
    * = celery
"""
WORKER = WorkerView(name="w", state="running", queues=("etl-1",), concurrency=4)


def settings(routes: str = ROUTES, **options: str) -> Settings:
    return read_settings(
        DictConfig({"hybrid_executor": {"redis_url": "redis://localhost", "routes": routes, **options}})
    )


def record(target: str = "celery", state: State = State.SUBMITTED, **rest: Any) -> Record:
    known = {"id": AttemptId("a"), "generation": 1, "queue": "etl-1", "route": "etl-*", "submitted_at": 999_000}
    return Record(state=state, target=target, pool=target.partition(":")[0], **(known | rest))


def facts(*records: Record, workers: tuple[WorkerView, ...] = (WORKER,)) -> Facts:
    return Facts(now=1_000_000, records=records, workers=workers)


def test_each_target_tells_how_full_it_is_and_who_came_from_elsewhere() -> None:
    found = facts(
        record(state=State.RUNNING), record(), record("kubernetes", moves=1, moved_from="celery", moved_because="wait")
    )
    assert view_targets(found, settings())[:2] == (
        TargetView(
            route="etl-*",
            target="celery",
            conditions=("max=2", "wait=20s"),
            used=2,
            most=2,
            waiting=1,
            closed="full: 2 of 2",
        ),
        TargetView(
            route="etl-*",
            target="kubernetes",
            conditions=("max=1",),
            used=1,
            most=1,
            waiting=1,
            came={"wait": 1},
            closed="full: 1 of 1",
        ),
    )


def test_a_target_that_needs_a_worker_says_that_there_is_none() -> None:
    views = {(view.route, view.target): view for view in view_targets(facts(), settings())}
    assert views["reports", "celery"].closed == "no living worker serves the queue"
    serving = replace(WORKER, queues=("reports",))
    views = {(view.route, view.target): view for view in view_targets(facts(workers=(serving,)), settings())}
    assert views["reports", "celery"].closed == ""


def test_a_target_that_was_taken_out_of_the_routes_is_shown_while_it_has_attempts() -> None:
    assert view_targets(facts(record("kubernetes:spot")), settings())[-1].closed == "the routes do not name it any more"


def test_routes_with_one_target_and_no_condition_are_not_shown() -> None:
    assert view_targets(facts(), settings("*=celery")) == ()


def test_a_full_route_is_a_problem_while_tasks_wait_for_it() -> None:
    full = facts(record(), record(state=State.RUNNING), record("kubernetes", State.RUNNING))
    config = settings()

    def problems(queued: int) -> list[str]:
        queues = view_queues(full, config, queued=[QueuedCount(queue="etl-1", count=queued, oldest_at=0)])
        found = find_problems(
            full, config, schedulers=None, pools=(), targets=view_targets(full, config), queues=queues
        )
        return [problem.what for problem in found if problem.subject == "route etl-*"]

    assert problems(8) == [
        "No target of route etl-* takes anything now (celery: full: 2 of 2; kubernetes: full: 1 of 1); 7 tasks wait in "
        "Airflow as queued."
    ]
    assert problems(0) == []


def test_work_that_goes_on_by_itself_is_no_failure_though_no_worker_serves_its_queue() -> None:
    alone = facts(record(), workers=())
    assert [p for p in find_problems(alone, settings(), schedulers=None, pools=()) if p.severity == "failure"] == []
    stays = facts(record(queue="other", route=""), workers=())
    failures = [p for p in find_problems(stays, settings(), schedulers=None, pools=()) if p.severity == "failure"]
    assert [problem.subject for problem in failures] == ["queue other"]


def test_no_target_takes_a_try_only_if_each_has_a_reason() -> None:
    route = settings("etl = celery(max=2) > kubernetes(tries=2) > local, * = celery").routes.find("etl")
    closed = {"celery": "full: 2 of 2"}
    assert why_none_takes(route, try_number=1, closed=closed, pools_full={"local": "pool local is full"}) == []
    assert why_none_takes(route, try_number=3, closed=closed, pools_full={"local": "pool local is full"}) == [
        "celery: full: 2 of 2",
        "kubernetes: it takes only the first 2 tries",
        "local: pool local is full",
    ]


def test_what_waits_says_where_it_goes_on_to_and_when() -> None:
    config = settings()
    words = onward(config, queue="etl-1", target_name="celery", waited=5)
    assert words == "If it does not start here, it goes on to kubernetes in 15 s."
    late = onward(config, queue="etl-1", target_name="celery", waited=25)
    assert late == "If it does not start here, it goes on to kubernetes as soon as there is room."
    assert onward(config, queue="etl-1", target_name="kubernetes", waited=5) == ""
    attempt = AttemptView(id="a", state="submitted", pool="celery", queue="etl-1", route="etl-*", target="celery")
    explained = explain(attempt, Situation(now=1000.0, ahead=0, onward=words))
    assert explained.waits_for == f"No living worker serves queue etl-1. {words}"


def test_an_attempt_that_leaves_its_target_says_so() -> None:
    attempt = AttemptView(
        id="a", state="pending", pool="kubernetes", queue="q", route="q", target="kubernetes:spot", leaving="wait"
    )
    explained = explain(attempt, Situation(now=1000.0))
    assert explained.where == "on target kubernetes:spot, which it leaves"


def test_an_autoscaler_hears_of_work_that_went_to_pods_because_there_was_no_worker() -> None:
    away = [record("kubernetes", State.RUNNING, queue="reports", route="reports") for _ in range(2)]
    assert count_demand(facts(*away), settings()).queues["reports"].value == 2
    assert count_demand(facts(*away * 5), settings()).queues["reports"].value == 3, "at most as many as max allows"
    served = count_demand(facts(*away, workers=(replace(WORKER, queues=("reports",)),)), settings())
    assert served.queues["reports"].value == 0


def test_what_has_gone_on_to_pods_needs_no_worker() -> None:
    moved = record("kubernetes", moves=1, moved_from="celery", moved_because="wait")
    assert count_demand(facts(record(), moved), settings()).queues["etl-1"].value == 1
