"""What is said of an attempt follows from its record and from what is around it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hybrid_executor.insight.attempts import AttemptView
from hybrid_executor.insight.explaining import explain
from hybrid_executor.insight.members import AgentView, RefusalView, WorkerView
from hybrid_executor.insight.situation import Situation
from hybrid_executor.store import LaunchPlace

NOW = 1_000_000.0
ON_WORKER = AttemptView(id="a", state="submitted", pool="celery", queue="etl", submitted_at=NOW - 30)
IN_POD = AttemptView(
    id="a", state="submitted", pool="kubernetes", queue="gpu", cluster="east", submitted_at=NOW - 30, age=30
)
PENDING = replace(IN_POD, state="pending", namespace="ns", pod="p")


def worker(name: str = "w1", *, busy: int = 0, **rest: Any) -> WorkerView:
    known = {"state": "running", "queues": ("etl",), "concurrency": 2, "running": tuple("xyz"[:busy])}
    return WorkerView(name=name, **(known | rest))


def agent(name: str = "agent-1", **rest: Any) -> AgentView:
    known = {"state": "running", "clusters": ("east",), "watches": ("east/ns",), "places": ("east/ns",)}
    return AgentView(name=name, **(known | rest))


def situation(**rest: Any) -> Situation:
    return Situation(now=NOW, ahead=rest.pop("ahead", 0), is_owner_alive=True, **rest)


@pytest.mark.parametrize(
    ("attempt", "around", "expected"),
    [
        (ON_WORKER, {}, "No living worker serves queue etl."),
        (ON_WORKER, {"ahead": 2}, "2 tasks are before it in queue etl. No living worker serves queue etl."),
        (
            ON_WORKER,
            {"workers": (worker(state="silent", queues=(), heartbeat_age=300),)},
            "No living worker serves queue etl. Silent workers: w1 for 5 min.",
        ),
        (
            ON_WORKER,
            {"workers": (worker(state="drained", queues=(), paused_queues=("etl",)),)},
            "Queue etl is served only by workers that drain: w1.",
        ),
        (
            ON_WORKER,
            {"workers": (worker(busy=2),), "ahead": 1},
            "1 task is before it in queue etl. Worker w1 is busy (2 of 2 slots); no other worker serves it.",
        ),
        (
            ON_WORKER,
            {"workers": (worker(busy=2), worker("w2", busy=2))},
            "All workers of this queue are busy: w1 is busy (2 of 2 slots); w2 is busy (2 of 2 slots).",
        ),
        (
            ON_WORKER,
            {"workers": (worker(busy=2), worker("w2")), "ahead": 3},
            "3 tasks are before it in queue etl. Worker w2 takes them in turn.",
        ),
        (ON_WORKER, {"workers": (worker(state="deaf"),)}, "Worker w1 takes no messages, though some wait."),
        (
            ON_WORKER,
            {"workers": (worker(),), "is_unsettled": True},
            "Redis was restarted or replaced; attempts that were submitted before start up to 15 s later.",
        ),
        (
            ON_WORKER,
            {"workers": (worker(),), "ahead": None},
            "Its message has left the queue and no worker has it yet; the scheduler sends it again within about 30 s "
            "if none reports it.",
        ),
        (
            ON_WORKER,
            {"broker_is_store": False, "ahead": None},
            "The broker does not accept the message now; the scheduler tries again every few seconds.",
        ),
        (
            replace(ON_WORKER, is_sent=True),
            {"broker_is_store": False, "ahead": None, "workers": (worker(busy=2),)},
            "Worker w1 is busy (2 of 2 slots); no other worker serves it.",
        ),
        (
            replace(ON_WORKER, received_by="w1"),
            {"workers": (worker(busy=2, held=("a",)),)},
            "Worker w1 is busy (2 of 2 slots).",
        ),
        (
            replace(ON_WORKER, received_by="w1"),
            {"workers": (worker(state="draining", held=("a",)),)},
            "Worker w1 drains: it gives the message back to queue etl.",
        ),
        (
            replace(ON_WORKER, received_by="w1"),
            {"workers": (worker(),)},
            "Worker w1 does not have it any more; the scheduler sends the message again within about 30 s.",
        ),
        (
            replace(ON_WORKER, received_by="w1"),
            {},
            "Worker w1 has been silent; the scheduler sends the message again about 30 s after the worker's last sign "
            "of life.",
        ),
        (replace(ON_WORKER, state="running", holder="w1"), {"workers": (worker(running=("a",)),)}, ""),
        (
            replace(ON_WORKER, state="running", holder="w1"),
            {"workers": (worker(),), "heartbeat_age": 3.0},
            "Worker w1 is alive and does not say that it runs this attempt. The task's last heartbeat to Airflow was "
            "3 s ago.",
        ),
        (
            replace(ON_WORKER, state="lost", holder="w1"),
            {},
            "Its scheduler decides within about 10 s: run it again if its task never started, else fail it.",
        ),
        (replace(ON_WORKER, state="failed", category="oom_killed"), {}, ""),
        (
            ON_WORKER,
            {"redis": "Redis refuses writes: maxmemory reached (OOM)", "workers": (worker(),)},
            "Redis refuses writes: maxmemory reached (OOM), so nothing starts or ends now. It is next in queue etl, "
            "and worker w1 has a free slot.",
        ),
    ],
)
def test_on_workers(attempt: AttemptView, around: dict[str, Any], expected: str) -> None:
    explained = explain(attempt, situation(**around))
    assert explained.waits_for == expected
    assert explained.where
    assert explained.advice or not explained.waits_for


LAST = " It fails if it has no pod in 9 min ([scheduler] task_queued_timeout)."
QUOTA = "Waiting for quota: q, requested: pods=1"
REFUSAL = RefusalView(cluster="east", namespace="ns", reason=QUOTA, waiting=1, seconds=20)


@pytest.mark.parametrize(
    ("attempt", "around", "expected"),
    [
        (IN_POD, {}, "No agent is alive for cluster east."),
        (IN_POD, {"agents": (agent(clusters=("west",)),)}, "No agent is alive for cluster east."),
        (
            IN_POD,
            {"agents": (agent(),), "launch": LaunchPlace(ahead=4)},
            f"4 launches of cluster east come before it. An agent takes it when it has room.{LAST}",
        ),
        (
            IN_POD,
            {"agents": (agent(state="draining"),), "launch": LaunchPlace()},
            f"All agents of cluster east drain: agent-1.{LAST}",
        ),
        (
            IN_POD,
            {"agents": (agent(),)},
            "Its launch is not in the launch stream; an agent puts it there again within about a minute.",
        ),
        (
            IN_POD,
            {"agents": (agent(),), "launch": LaunchPlace(agent="agent-2")},
            "Agent agent-2 is silent; another agent takes the launch over after 15 s.",
        ),
        (
            IN_POD,
            {"agents": (agent(),), "launch": LaunchPlace(agent="agent-1"), "starting": 8, "starting_limit": 8},
            f"8 pods of cluster east are starting, and no more than 8 may start at the same time now.{LAST}",
        ),
        (
            replace(IN_POD, note=f"{QUOTA} Tried again every minute or sooner."),
            {"agents": (agent(refusals=(REFUSAL,)),)},
            f"{QUOTA}. The agent tries again in 20 s.{LAST}",
        ),
        (
            replace(IN_POD, note="Launched again: it was evicted"),
            {"agents": (agent(),), "launch": LaunchPlace(ahead=0)},
            f"An agent takes it when it has room.{LAST}",
        ),
        (
            replace(IN_POD, state="launching", age=2.0, namespace="ns", pod="p", holder="agent-1"),
            {"agents": (agent(),)},
            "The API server of cluster east creates the pod now.",
        ),
        (
            replace(IN_POD, state="launching", age=40.0, namespace="ns", pod="p", holder="agent-1"),
            {"agents": (agent(),)},
            f"The API server of cluster east has not answered for 40 s; the agent tries again.{LAST}",
        ),
        (PENDING, {"agents": (agent(),)}, "Its node pulls the image and starts the container."),
        (
            replace(PENDING, is_warm=True, is_handed_over=True),
            {"agents": (agent(),)},
            "An agent hands its workload over to the pod, which is ready.",
        ),
        (
            replace(PENDING, is_handed_over=True),
            {"agents": (agent(),)},
            "An agent hands its workload over to the pod, which runs.",
        ),
        (
            PENDING,
            {"agents": (agent(watches=()),)},
            "Its node pulls the image and starts the container. No agent watches namespace ns now, so this may have "
            "changed.",
        ),
        (
            replace(PENDING, note="Pod p cannot get its image", category="image_pull", noted_at=NOW - 20),
            {"agents": (agent(),)},
            "Pod p cannot get its image. For 20 s. The agent gives up in about 100 s ([hybrid_executor] "
            "launch_patience).",
        ),
        (
            replace(PENDING, note="finds no node: 0/3 nodes are available", category="unschedulable"),
            {"agents": (agent(),)},
            "finds no node: 0/3 nodes are available. Airflow takes the task back in about 9 min and queues it again "
            "([scheduler] task_queued_timeout).",
        ),
        (replace(PENDING, state="running"), {"agents": (agent(),)}, ""),
        (
            replace(PENDING, state="running"),
            {"agents": (agent(watches=()),)},
            "No agent watches namespace ns now, so its end is noticed later.",
        ),
        (replace(PENDING, state="running"), {}, "Its end will not be noticed: No agent is alive for cluster east."),
    ],
)
def test_in_pods(attempt: AttemptView, around: dict[str, Any], expected: str) -> None:
    explained = explain(attempt, situation(**around))
    assert explained.waits_for == expected
    assert explained.where
    assert explained.advice or not explained.waits_for or "now." in explained.waits_for


def test_a_record_that_cannot_be_read_says_why() -> None:
    broken = AttemptView(id="a", state="unknown", trouble="The Redis key x holds a value that is not a record.")
    assert explain(broken, situation()).waits_for == broken.trouble
