"""The part about Redis on real servers: each thing that may be wrong with one is brought about."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_executor.store import Store
from tests.certificates import write_certificate
from tests.integration.conftest import set_options
from tests.integration.doctor.conftest import Examine, Report
from tests.integration.rabbitmq import free_port
from tests.integration.redis_installed import (
    MASTER,
    SENTINEL_PASSWORD,
    Server,
    Watched,
    find_server,
    start_cluster,
    start_with_tls,
)
from tests.integration.redis_installed import PASSWORD as TLS_PASSWORD
from tests.redis_acl import PASSWORD, create_user, documented_rules
from tests.redis_situations import SITUATIONS, programs, serve

STORE, BROKER = "the store", "Celery's client"
WORKER, WORKER_RULES = documented_rules()["worker"]
installed = pytest.mark.skipif(find_server() is None, reason="redis-server is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module's own, which tests change and set right again."""
    started = serve(tmp_path_factory.mktemp("doctor") / "data", programs()["valkey"], "--appendonly", "yes")
    yield started
    started.kill()


@pytest.fixture
def url(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("AIRFLOW__CELERY__BROKER_URL", raising=False)
    return f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture
def ask(examine: Examine, url: str) -> Examine:
    """Return a function that examines the server."""

    def run(*, strict: bool = False, **options: str) -> Report:
        return examine("redis", strict=strict, **{"hybrid_executor__redis_url": url, **options})

    return run


def test_a_server_that_is_well_has_no_failure_and_leaves_nothing_behind(ask: Examine, server: Server) -> None:
    report = ask()
    assert (report.code, report.bad) == (0, [])
    assert report.one("reachable", STORE)[1].startswith(f"127.0.0.1:{server.port}, database 0, user default, without")
    assert "written in one step" in report.one("broker and store", BROKER)[1]
    assert "default" in report.one("permissions", BROKER)[1]
    assert all(server.client.pttl(key) != -1 for key in server.client.scan_iter("{hybrid*"))


def test_a_policy_that_evicts_is_a_failure_where_memory_is_limited(ask: Examine, server: Server) -> None:
    server.client.config_set("maxmemory-policy", "allkeys-lru")
    assert ask().one("eviction policy")[0] == "warning"
    server.client.config_set("maxmemory", "1gb")
    report = ask()
    level, what, cure = report.one("eviction policy")
    assert (report.code, level) == (1, "failure")
    assert "Redis deletes queued tasks and their state" in what
    assert cure.startswith("set maxmemory-policy noeviction")
    server.client.config_set("maxmemory", 0)
    server.client.config_set("maxmemory-policy", "noeviction")


def test_a_server_that_keeps_nothing_is_warned_of(ask: Examine, server: Server) -> None:
    server.client.config_set("appendonly", "no")
    report = ask()
    level, what, cure = report.one("persistence")
    assert (report.code, level) == (0, "warning")
    assert "a restart of the server loses everything" in what
    assert cure == "set appendonly yes, as in conf/redis.conf"
    strict = ask(strict=True)
    assert (strict.code, strict.bad) == (1, ["persistence"])
    server.client.config_set("appendonly", "yes")


@pytest.mark.parametrize("code", ["OOM", "READONLY", "NOREPLICAS"])
def test_a_server_that_refuses_writes_is_a_failure_with_its_reason(ask: Examine, server: Server, code: str) -> None:
    with SITUATIONS[code](server):
        report = ask()
    level, what, cure = report.one("writes")
    assert (report.code, level) == (1, "failure")
    assert code in what
    assert "docs/redis.md" in cure
    if code == "READONLY":
        assert report.one("role")[2].startswith("use the address of the primary, or a sentinel:// URL")
    if code == "OOM":
        assert report.one("memory")[0] == "failure"


def missing(ask: Examine, server: Server, rule: str) -> Report:
    create_user(server.client, WORKER, [left for left in WORKER_RULES if left != rule])
    report = ask(hybrid_executor__redis_url=f"redis://{WORKER}:{PASSWORD}@127.0.0.1:{server.port}/0")
    server.client.execute_command("ACL", "DELUSER", WORKER)
    return report


def test_the_documented_user_of_workers_may_do_all(ask: Examine, server: Server) -> None:
    report = missing(ask, server, "none")
    assert report.code == 0, report.bad
    assert report.one("permissions", STORE)[0] == report.one("permissions", BROKER)[0] == "ok"
    assert report.one("persistence")[0] == "ok"


@pytest.mark.parametrize(
    ("rule", "subject", "grant"),
    [
        ("+hset", STORE, "ACL SETUSER airflow-worker +hset "),
        ("~{hybrid:airflow}:*", STORE, "~{hybrid:airflow}:*"),
        ("+brpop", BROKER, "ACL SETUSER airflow-worker +brpop "),
        ("~unacked*", BROKER, "~unacked*"),
        ("~_kombu.binding*", BROKER, "~_kombu.binding*"),
        ("&/0.celery.pidbox", BROKER, "+psubscribe &/0.celery.pidbox"),
    ],
)
def test_each_permission_that_is_missing_is_named_with_the_command_that_grants_it(
    ask: Examine, server: Server, rule: str, subject: str, grant: str
) -> None:
    report = missing(ask, server, rule)
    level, what, cure = report.one("permissions", subject)
    assert (report.code, level) == (1, "failure"), what
    assert what.startswith("the Redis user airflow-worker lacks")
    assert grant in cure


def test_with_a_prefix_the_brokers_keys_are_tried_under_it(ask: Examine, server: Server) -> None:
    report = missing_with_prefix(ask, server)
    level, what, cure = report.one("permissions", BROKER)
    assert level == "failure"
    assert "mine:unacked*" in what
    assert "~mine:unacked*" in cure
    assert "keys begin with mine:" in report.one("reachable", BROKER)[1]


def missing_with_prefix(ask: Examine, server: Server) -> Report:
    """Examine with a prefix, and with a user whose rules know nothing of it."""
    create_user(server.client, WORKER, WORKER_RULES)
    report = ask(
        hybrid_executor__redis_url=f"redis://{WORKER}:{PASSWORD}@127.0.0.1:{server.port}/0",
        celery_broker_transport_options__global_keyprefix="mine:",
    )
    server.client.execute_command("ACL", "DELUSER", WORKER)
    return report


def test_a_user_that_may_not_run_scripts_is_told(ask: Examine, server: Server) -> None:
    report = missing(ask, server, "+script|load")
    level, what, cure = report.one("scripts")
    assert level == "failure"
    assert "permission" in what
    assert cure.startswith("grant +evalsha and +script|load")


def test_living_workers_may_have_another_user(ask: Examine, server: Server, url: str, examine: Examine) -> None:
    from hybrid_executor.store import RedisSettings, open_store

    store = open_store(RedisSettings(url=url), instance="airflow")
    store.presence.announce("worker", "w@h", {"queues": "default"}, seconds=60)
    report = missing(ask, server, "+brpop")
    store.presence.withdraw("worker", "w@h")
    store.close()
    level, what, _ = report.one("permissions", BROKER)
    assert (report.code, level) == (0, "warning")
    assert what.endswith("Workers need them; those that are alive may use another user")


def test_info_that_is_hidden_is_unknown_and_its_loss_is_warned_of(ask: Examine, server: Server) -> None:
    create_user(server.client, "blind", ["on", f">{PASSWORD}", "allkeys", "allchannels", "+@all", "-info", "-config"])
    report = ask(hybrid_executor__redis_url=f"redis://blind:{PASSWORD}@127.0.0.1:{server.port}/0")
    server.client.execute_command("ACL", "DELUSER", "blind")
    assert report.one("eviction policy", STORE)[0] == report.one("memory", STORE)[0] == "unknown"
    level, what, _ = report.one("loss of data", STORE)
    assert level == "warning"
    assert "only the loss of all data is noticed" in what


def test_a_frozen_server_is_waited_for_once_and_the_rest_is_not_tried(ask: Examine, server: Server) -> None:
    pid = int(server.client.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        report = ask()
    finally:
        os.kill(pid, signal.SIGCONT)
    level, what, cure = report.one("reachable", STORE)
    assert (report.code, level) == (1, "failure")
    assert f"127.0.0.1:{server.port}" in what
    assert cure.startswith("start it, or restart it if it hangs")
    assert "latency" in report.one("not checked", STORE)[1]
    assert report.one("reachable", BROKER)[0] == "failure"


def test_a_dead_port_a_wrong_password_and_a_missing_database_are_told_apart(ask: Examine, server: Server) -> None:
    dead = ask(hybrid_executor__redis_url=f"redis://127.0.0.1:{free_port()}/0")
    assert dead.code == 1
    assert "Connection refused" in dead.one("reachable", STORE)[1]
    wrong = ask(hybrid_executor__redis_url=f"redis://nobody:wrong-password@127.0.0.1:{server.port}/0")
    assert "refuses user or password" in wrong.one("reachable", STORE)[1]
    assert "wrong-password" not in str(wrong.printed)
    missing_database = ask(hybrid_executor__redis_url=f"redis://127.0.0.1:{server.port}/99")
    assert "names database 99, which does not exist" in missing_database.one("reachable", STORE)[1]


def test_a_broker_at_another_place_is_examined_as_a_server_of_its_own(
    ask: Examine, server: Server, redis_url: str, store: Store
) -> None:
    server.client.config_set("maxmemory-policy", "allkeys-lru")
    report = ask(hybrid_executor__redis_url=redis_url, celery__broker_url=f"redis://127.0.0.1:{server.port}/1")
    server.client.config_set("maxmemory-policy", "noeviction")
    assert report.one("eviction policy", STORE)[0] == "ok"
    assert report.one("eviction policy", BROKER)[0] == "warning"
    assert "messages are sent after their records" in report.one("broker and store")[1]
    assert f"127.0.0.1:{server.port}, database 1" in report.one("reachable", BROKER)[1]


def test_no_redis_at_all_is_a_finding_and_no_crash(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__HYBRID_EXECUTOR__REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    report = examine("redis")
    level, what, _ = report.one("configuration")
    assert (report.code, level) == (1, "failure")
    assert "No Redis is configured" in what


@installed
@pytest.mark.redis_server
def test_a_redis_cluster_is_a_failure(ask: Examine, tmp_path: Path) -> None:
    cluster = start_cluster(tmp_path / "cluster")
    report = ask(hybrid_executor__redis_url=f"redis://127.0.0.1:{cluster.port}/0")
    cluster.kill()
    level, what, cure = report.one("cluster mode", STORE)
    assert (report.code, level) == (1, "failure")
    assert "this is a Redis Cluster (cluster-enabled yes)" in what
    assert cure.startswith("use one Redis or Valkey, with replicas and Sentinel")


@installed
@pytest.mark.redis_server
def test_tls_is_used_on_both_ways_and_a_missing_ca_is_told(
    ask: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = write_certificate(tmp_path, "redis")
    server = start_with_tls(tmp_path / "tls", certificate)
    files = f"ssl_ca_certs={certificate}&ssl_certfile={certificate}&ssl_keyfile={certificate}"
    address = f"rediss://:{TLS_PASSWORD}@127.0.0.1:{server.port}/0"
    set_options(monkeypatch, hybrid_executor__redis_url=f"{address}?{files}")
    well = ask(hybrid_executor__redis_url=f"{address}?{files}")
    wrong = ask(hybrid_executor__redis_url=address)
    server.kill()
    assert "with TLS" in well.one("reachable", STORE)[1]
    assert "with TLS" in well.one("reachable", BROKER)[1]
    assert "CERTIFICATE_VERIFY_FAILED" in wrong.one("reachable", STORE)[1]
    assert wrong.code == 1


@installed
@pytest.mark.redis_server
def test_the_primary_that_sentinel_names_is_examined(ask: Examine, tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    options = {"master_name": MASTER, "sentinel_kwargs": {"password": SENTINEL_PASSWORD}}
    try:
        report = ask(hybrid_executor__redis_url=watched.url, hybrid_executor__redis_options=json.dumps(options))
    finally:
        watched.kill()
    assert f"the primary {MASTER} of Sentinel, database 0" in report.one("reachable", STORE)[1]
    assert f"the primary {MASTER} of Sentinel, database 0" in report.one("reachable", BROKER)[1]
    assert report.one("role")[0] == report.one("permissions", BROKER)[0] == "ok"
    assert report.code == 0


def test_a_broker_of_another_kind_is_only_reached_for(ask: Examine, redis_url: str, store: Store) -> None:
    address = f"amqp://user:secret-word@127.0.0.1:{free_port()}//"
    report = ask(hybrid_executor__redis_url=redis_url, celery__broker_url=address)
    level, what, cure = report.one("reachable", BROKER)
    assert (report.code, level) == (1, "failure")
    assert "Celery's client cannot reach the broker" in what
    assert cure.endswith("or correct [celery] broker_url")
    assert "secret-word" not in str(report.printed)
    assert report.one("reachable", STORE)[0] == "ok"
