"""``airflow hybrid status``: the screen."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from hybrid_executor.cli.output import Output
from hybrid_executor.cli.status_command import show
from hybrid_executor.insight.members import AgentView, WorkerView
from hybrid_executor.insight.overview import ClusterView, Overview
from hybrid_executor.insight.problems import Problem
from hybrid_executor.insight.queues import QueueView
from hybrid_executor.insight.slots import PoolView, SchedulerView
from hybrid_executor.insight.targets import TargetView
from hybrid_executor.insight.warm import WarmView

LONG = "2 attempts of queue etl cannot start, the first for 3 min: Waiting for quota: compute [red] in namespace etl"
FOUND = Overview(
    instance="prod",
    problems=(
        Problem(severity="failure", subject="queue x", what="3 attempts wait in queue x.", cure="Run a worker."),
        Problem(severity="warning", subject="queue etl", what=LONG, cure="Raise the quota."),
    ),
    schedulers=(SchedulerView(job_id="7", hostname="h", is_alive=True, heartbeat_age=2, live={"celery": 4}),),
    workers=(
        WorkerView(name="celery@a", state="draining", paused_queues=("etl",), running=("1", "2"), concurrency=4),
        WorkerView(name="celery@b", state="silent", heartbeat_age=300),
    ),
    agents=(AgentView(name="agent-1", state="running", watches=("default/airflow",), in_flight={"default": 3}),),
    pools=(PoolView(name="celery", limit=32, per_scheduler=32, occupied=4),),
    queues=(QueueView(name="x", pool="celery", depth=3, oldest_age=200, advice="nobody serves it"),),
    clusters=(ClusterView(name="default", agents=("agent-1",), starting=2, limit=8, pods={"pending": 2}),),
    targets=(
        TargetView(route="etl-*", target="celery", used=2, most=2, waiting=1, closed="full: 2 of 2"),
        TargetView(route="etl-*", target="kubernetes", used=7, came={"wait": 5}),
    ),
    warm=(
        WarmView(
            cluster="default",
            profile="quick",
            ready=2,
            starting=1,
            wanted=3,
            in_use=5,
            cpu=1.5,
            memory=2**30,
            hits=9,
            misses={"none_waiting": 1},
            kept_by="agent-1",
        ),
    ),
)


def test_shares_are_shown_where_queues_have_different_ones() -> None:
    assert "share" not in shown(FOUND)
    queues = (QueueView(name="x", pool="celery", share=3), QueueView(name="y", pool="celery"))
    lines = shown(replace(FOUND, queues=queues)).splitlines()
    assert "x celery 0 0 3 nobody" in [" ".join(line.split()) for line in lines]


def test_the_targets_of_elastic_routes_are_shown_with_what_closes_them() -> None:
    lines = shown(FOUND).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Targets of elastic routes"))
    text = " ".join(" ".join(lines[start : start + 8]).split())
    assert "etl-* celery 2 of 2 1" in text
    assert "full: 2 of 2" in text
    assert "etl-* kubernetes 7 0 wait: 5" in text


def shown(found: Overview, format_name: str = "table") -> str:
    file = io.StringIO()
    output = Output(format_name, file=file)  # type: ignore[arg-type]
    output.console.width = 80
    show(found, output)
    return file.getvalue()


def test_problems_come_first_each_with_what_to_do_at_80_columns() -> None:
    lines = shown(FOUND).splitlines()
    assert lines[0] == "Instance prod: 1 failure, 1 warning"
    assert lines[1] == "FAILURE: 3 attempts wait in queue x."
    assert lines[2].strip() == "-> Run a worker."
    assert lines[3].startswith("Warning: 2 attempts of queue etl cannot start")
    assert "[red]" in " ".join(lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    "words",
    [
        ["7", "h", "running", "2 s ago", "4 celery"],
        ["celery@a", "draining", "(paused: etl)", "2 of 4"],
        ["celery@b", "silent", "5 min ago"],
        ["agent-1", "running", "default/airflow", "3"],
        ["celery", "4", "32", "0"],
        ["x", "celery", "3", "3 min", "nobody"],
        ["default", "1", "2 of 8", "2 pending"],
        ["quick", "2 of 3", "5", "1.5 CPU, 1024 MiB", "9 (90%)", "1 none_waiting"],
    ],
)
def test_each_part_has_its_line(words: list[str]) -> None:
    text = shown(FOUND, "plain")
    assert [line for line in text.splitlines() if all(word in line for word in words)]


def test_a_deployment_without_a_problem_is_well() -> None:
    assert shown(Overview(instance="prod")).splitlines()[0] == "Instance prod: all is well"


def test_programs_get_all_of_it() -> None:
    told = json.loads(shown(FOUND, "json"))
    assert [problem["severity"] for problem in told["problems"]] == ["failure", "warning"]
    assert told["workers"][0]["running"] == ["1", "2"]
    assert told["queues"][0]["oldest_age"] == 200
