"""What the announcements of schedulers, workers and agents mean."""

from __future__ import annotations

import hybrid_executor.doctor.workers_checks as judge
from hybrid_executor.doctor.findings import Finding
from hybrid_executor.doctor.workers_checks import Crew
from hybrid_executor.insight.members import AgentView, WorkerView
from hybrid_executor.insight.problems import Problem
from hybrid_executor.store import Member


def member(role: str, name: str, *, is_alive: bool = True, **fields: str) -> Member:
    announced = {"name": name, **fields} if is_alive else {}
    return Member(role=role, name=name, fields=announced, silent_seconds=3.0)  # type: ignore[arg-type]


def problem(subject: str, severity: str = "failure") -> Problem:
    return Problem(severity=severity, subject=subject, what="It is wrong.", cure="Cure it.")  # type: ignore[arg-type]


def told(findings: object) -> list[tuple[str, str]]:
    return [(finding.level, finding.what) for finding in findings]  # type: ignore[attr-defined]


def test_what_insight_finds_is_told_under_what_it_is_about() -> None:
    subjects = ["queue etl", "cluster gpu", "worker w", "agent a", "namespace default/x", "default/x"]
    found = judge.judge_problems([problem(subject) for subject in subjects])
    assert [finding.check for finding in found] == [
        "queues",
        "agents",
        "workers",
        "agents",
        "agents",
        "one deployment",
    ]
    assert {(finding.level, finding.what, finding.cure) for finding in found} == {("failure", "It is wrong", "Cure it")}


def test_a_queue_that_the_routes_name_needs_a_living_worker_and_is_reported_once() -> None:
    workers = [
        WorkerView(name="w", state="running", queues=("default",)),
        WorkerView(name="dead", state="silent", queues=("reports",)),
    ]
    found = judge.judge_queues(["default", "reports", "etl"], [problem("queue etl")], workers)
    assert told(found) == [
        ("warning", "no living worker serves queue reports, which the routes name; no task waits in it yet"),
        ("ok", "a living worker serves each of: default"),
    ]
    assert found[0].cure.startswith("run airflow hybrid worker --queues reports, or route the queue elsewhere")


def test_a_queue_of_drained_workers_only_is_told_with_how_to_undo_it() -> None:
    workers = [WorkerView(name="out", state="drained", paused_queues=("default",))]
    [found] = judge.judge_queues(["default"], [], workers)
    assert found.what == "queue default is served only by workers that drain: out; no task waits in it yet"
    assert found.cure == "airflow hybrid drain out --undo, or run airflow hybrid worker --queues default"


def test_a_worker_that_is_drained_is_told_with_how_to_undo_it() -> None:
    workers = [WorkerView(name="well", state="running"), WorkerView(name="out", state="drained")]
    found = list(judge.judge_workers(workers))
    assert told(found) == [("ok", "well, out: alive"), ("warning", "out is drained: it takes no new tasks")]
    assert found[1].cure == "airflow hybrid drain out --undo, or stop it"


def test_the_agents_of_a_cluster_are_named() -> None:
    agents = [
        AgentView(name="a", state="running", clusters=("default",)),
        AgentView(name="b", state="silent", clusters=("gpu",)),
    ]
    assert told(judge.judge_agents(["default", "gpu"], agents)) == [("ok", "cluster default: a")]


def test_schedulers_announce_themselves() -> None:
    assert judge.judge_schedulers(Crew(schedulers=[member("scheduler", "7")])).what == "1 alive (job 7)"
    assert judge.judge_schedulers(Crew(schedulers=[member("scheduler", "7", is_alive=False)])).level == "warning"


def test_versions_that_differ_are_told_with_who_has_which() -> None:
    crew = Crew(
        schedulers=[member("scheduler", "1", version="0.1.0", airflow="3.3.2")],
        workers=[member("worker", "w", version="0.2.0", airflow="3.3.2", celery="5.7.0")],
    )
    own = {"version": "0.1.0", "airflow": "3.3.2", "celery": "5.7.0"}
    [found] = judge.judge_versions(crew, own)
    assert found.what == "airflow-hybrid-executor differs (0.1.0: scheduler 1, this process; 0.2.0: worker w)"
    assert found.level == "warning"
    assert [item.level for item in judge.judge_versions(Crew(), own)] == ["ok"]


def deployments(crew: Crew, own: str = "") -> list[Finding]:
    return list(judge.judge_deployments(crew, own, "airflow"))


def test_two_databases_with_one_instance_are_a_failure() -> None:
    crew = Crew(schedulers=[member("scheduler", "1", database="aa"), member("scheduler", "2", database="bb")])
    [found] = deployments(crew)
    assert found.level == "failure"
    assert "scheduler 1 (database aa); scheduler 2 (database bb)" in found.what
    assert found.cure.startswith("set a different [hybrid_executor] instance in each deployment")


def test_one_database_is_well_and_that_of_a_worker_does_not_count() -> None:
    crew = Crew(
        schedulers=[member("scheduler", "1", database="aa")], workers=[member("worker", "w", database="sqlite")]
    )
    assert [item.level for item in deployments(crew, "aa")] == ["ok"]
    assert [item.level for item in deployments(crew, "cc")] == ["failure"]
