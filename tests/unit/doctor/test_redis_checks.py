"""What the facts of a Redis mean."""

from __future__ import annotations

from dataclasses import replace

import pytest

import hybrid_executor.doctor.redis_checks as judge
from hybrid_executor.doctor.findings import Finding
from hybrid_executor.store import Missing
from hybrid_executor.store.examination import Pace, RedisFacts

SILENT = RedisFacts(address="redis:6379", database=0, is_tls=False, user="default")
WELL = replace(
    SILENT,
    server="Valkey 9.1.2",
    run_id="a",
    role="master",
    replication_id="b",
    memory_limit=1000 * 2**20,
    memory_used=2**20,
    eviction_policy="noeviction",
    evicted_keys=0,
    has_append_only_file=True,
    snapshots="",
    last_save_status="ok",
    clients=10,
    most_clients=100,
)
PACE = Pace(0.001, 0.002, 0.1)


def of(finding: Finding) -> tuple[str, str, str]:
    return finding.level, finding.what, finding.cure


def test_a_server_that_is_well_has_no_cures() -> None:
    findings = [
        judge.judge_address(WELL),
        judge.judge_cluster(False),
        judge.judge_eviction(WELL),
        judge.judge_persistence(WELL),
        judge.judge_memory(WELL),
        judge.judge_role(WELL),
        judge.judge_replication_id(WELL),
        judge.judge_clients(WELL),
        judge.judge_latency(PACE),
        judge.judge_clock(PACE),
        judge.judge_same_place(WELL, WELL, is_meant=True),
    ]
    assert {(finding.level, finding.cure) for finding in findings} == {("ok", "")}


@pytest.mark.parametrize("user_may_not_ask", [judge.judge_eviction, judge.judge_persistence, judge.judge_memory])
def test_what_the_server_does_not_say_is_unknown(user_may_not_ask: object) -> None:
    assert user_may_not_ask(SILENT).level == "unknown"  # type: ignore[operator]
    assert judge.judge_role(SILENT).level == "unknown"
    assert judge.judge_clients(SILENT).level == "unknown"
    assert judge.judge_same_place(SILENT, WELL, is_meant=True).level == "unknown"


@pytest.mark.parametrize(
    ("policy", "limit", "evicted", "level"),
    [
        ("noeviction", 100, 0, "ok"),
        ("noeviction", 100, 5, "ok"),
        ("allkeys-lru", 100, 0, "failure"),
        ("volatile-ttl", 100, 0, "failure"),
        ("allkeys-lru", 0, 0, "warning"),
        ("allkeys-lru", 0, 3, "failure"),
    ],
)
def test_every_policy_but_noeviction_loses_tasks(policy: str, limit: int, evicted: int, level: str) -> None:
    found = judge.judge_eviction(replace(WELL, eviction_policy=policy, memory_limit=limit, evicted_keys=evicted))
    assert found.level == level
    assert ("set maxmemory-policy noeviction" in found.cure) is (level != "ok")


@pytest.mark.parametrize(
    ("append", "snapshots", "last", "level", "words"),
    [
        (True, "", "ok", "ok", "about the last second"),
        (False, "3600 1", "ok", "ok", "snapshots (save 3600 1)"),
        (False, "3600 1", "err", "failure", "the last snapshot failed"),
        (False, "", "ok", "warning", "a restart of the server loses everything"),
        (False, None, "ok", "unknown", "whether there are snapshots is not shown"),
    ],
)
def test_persistence_says_what_a_restart_loses(
    append: bool, snapshots: str | None, last: str, level: str, words: str
) -> None:
    found = judge.judge_persistence(
        replace(WELL, has_append_only_file=append, snapshots=snapshots, last_save_status=last)
    )
    assert (found.level, words in found.what) == (level, True)


@pytest.mark.parametrize(
    ("used", "limit", "level"), [(1, 0, "ok"), (79, 100, "ok"), (80, 100, "warning"), (95, 100, "failure")]
)
def test_memory_is_compared_with_its_limit(used: int, limit: int, level: str) -> None:
    found = judge.judge_memory(replace(WELL, memory_used=used * 2**20, memory_limit=limit * 2**20))
    assert (found.level, f"{used}.0 MiB" in found.what) == (level, True)


def test_a_replica_a_cluster_and_a_hidden_id_are_told_with_their_cures() -> None:
    assert of(judge.judge_role(replace(WELL, role="slave")))[0::2] == (
        "failure",
        "use the address of the primary, or a sentinel:// URL, which leads to it after a fail-over too",
    )
    assert judge.judge_cluster(True).level == "failure"
    hidden = judge.judge_replication_id(replace(WELL, replication_id=None))
    assert hidden.level == "warning"
    assert "only the loss of all data is noticed" in hidden.what
    assert judge.judge_clients(replace(WELL, clients=90)).cure == "raise maxclients"


@pytest.mark.parametrize(("seconds", "level"), [(0.02, "ok"), (0.0201, "warning")])
def test_latency_has_a_bound(seconds: float, level: str) -> None:
    assert judge.judge_latency(Pace(seconds, seconds, 0)).level == level


@pytest.mark.parametrize(("ahead", "level"), [(2.0, "ok"), (-2.0, "ok"), (2.1, "warning"), (-60.0, "warning")])
def test_the_clocks_may_differ_a_little(ahead: float, level: str) -> None:
    found = judge.judge_clock(Pace(0, 0, ahead))
    assert (found.level, ("ahead of" in found.what)) == (level, ahead > 0)


@pytest.mark.parametrize(
    ("database", "run_id", "is_meant", "level"),
    [
        (0, "a", True, "ok"),
        (1, "a", True, "failure"),
        (0, "another", True, "failure"),
        (0, "a", False, "warning"),
        (1, "a", False, "ok"),
        (0, "another", False, "ok"),
    ],
)
def test_the_broker_must_be_where_the_configuration_says(
    database: int, run_id: str, is_meant: bool, level: str
) -> None:
    broker = replace(WELL, database=database, run_id=run_id)
    assert judge.judge_same_place(WELL, broker, is_meant=is_meant).level == level


def test_missing_permissions_come_with_the_command_that_grants_them() -> None:
    missing = Missing("u", ["BRPOP"], ["unacked*"], ["/0.celery.pidbox (PUBLISH and PSUBSCRIBE)"])
    found = judge.judge_broker_permissions(missing, ["default"], are_workers_alive=False)
    assert of(found) == (
        "failure",
        "the Redis user u lacks the commands BRPOP; the key patterns unacked*; the channels /0.celery.pidbox (PUBLISH "
        "and PSUBSCRIBE). A worker with this user does not start",
        "ACL SETUSER u +brpop +publish +psubscribe ~unacked* &/0.celery.pidbox (docs/redis.md has the whole lists)",
    )
    assert judge.judge_broker_permissions(missing, ["default"], are_workers_alive=True).level == "warning"
    assert judge.judge_broker_permissions(Missing("u"), ["default"], are_workers_alive=False).level == "ok"
