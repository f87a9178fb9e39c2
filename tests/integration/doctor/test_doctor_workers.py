"""The parts about Airflow, and about schedulers, workers and agents, with real announcements in a real Redis."""

from __future__ import annotations

import json
import socket
from argparse import Namespace
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.cli.doctor_command import doctor
from hybrid_executor.config.identity import fingerprint
from hybrid_executor.store import Store
from tests.http_server import EndingServer
from tests.integration.cli.exit_codes import exit_code_of
from tests.integration.conftest import make_task, queue, set_options
from tests.integration.doctor.conftest import SECRETS, Examine, Report
from tests.integration.rabbitmq import free_port

ROUTES = "kubernetes=kubernetes, etl=celery, *=celery"


@pytest.fixture
def ask(examine: Examine, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Return a function that examines parts of a deployment whose Redis is there."""
    monkeypatch.delenv("AIRFLOW__CELERY__BROKER_URL", raising=False)

    def run(*parts: str, **options: str) -> Report:
        return examine(
            *parts, **{"hybrid_executor__redis_url": redis_url, "hybrid_executor__routes": ROUTES, **options}
        )

    return run


def announce(store: Store, role: str, name: str, **fields: str) -> None:
    store.presence.announce(role, name, fields, seconds=60)  # type: ignore[arg-type]


def test_a_crew_that_is_complete_has_no_failure(ask: Examine, store: Store) -> None:
    announce(store, "scheduler", "1")
    announce(store, "worker", "w@h", queues="default,etl", state="running")
    announce(store, "agent", "a", clusters="default")
    report = ask("workers")
    assert (report.code, report.bad) == (0, [])
    assert report.one("queues")[1] == "a living worker serves each of: default, etl"


def test_a_queue_of_a_route_and_a_cluster_that_nobody_serves_are_warnings(ask: Examine, store: Store) -> None:
    announce(store, "worker", "w@h", queues="default", state="running")
    report = ask("workers", hybrid_executor__agent="external")
    assert report.code == 0
    assert [(item["level"], item["what"], item["cure"]) for item in report.of("queues")] == [
        (
            "warning",
            "no living worker serves queue etl, which the routes name; no task waits in it yet",
            "run airflow hybrid worker --queues etl, or route the queue elsewhere in [hybrid_executor] routes",
        ),
        ("ok", "a living worker serves each of: default", ""),
    ]
    assert report.one("agents") == (
        "warning",
        "No agent is alive for cluster default; no pod waits yet",
        "Run airflow hybrid agent, or set [hybrid_executor] agent = child",
    )


def test_tasks_that_wait_in_a_queue_that_nobody_serves_are_a_failure(
    ask: Examine, make_executor: Callable[..., Any], store: Store
) -> None:
    executor = make_executor()
    queue(executor, make_task("a", queue="odd"), make_task("b", queue="odd"))
    executor.heartbeat()
    announce(store, "worker", "w@h", queues="default,etl", state="running")
    announce(store, "agent", "a", clusters="default")
    report = ask("workers")
    [failed] = [item for item in report.of("queues") if item["level"] == "failure"]
    assert failed["what"] == "2 attempts wait in queue odd, which no living worker serves"
    assert failed["cure"].startswith("Run airflow hybrid worker --queues odd")
    assert report.code == 1
    executor.end()


def test_pods_that_wait_for_an_agent_are_a_failure(
    ask: Examine, make_executor: Callable[..., Any], store: Store
) -> None:
    executor = make_executor(hybrid_executor__routes=ROUTES)
    queue(executor, make_task("a", queue="kubernetes"))
    executor.heartbeat()
    report = ask("workers", hybrid_executor__agent="external")
    level, what, cure = report.one("agents")
    assert (report.code, level) == (1, "failure")
    assert what == "1 attempt waits for pods in cluster default, for which no agent is alive"
    assert cure.startswith("Run airflow hybrid agent; with [hybrid_executor] agent = child the scheduler starts one")
    executor.end()


def test_a_worker_that_is_drained_or_fell_silent_is_told(ask: Examine, store: Store) -> None:
    announce(store, "worker", "out@h", queues="default", state="drained")
    announce(store, "worker", "gone@h", queues="default", state="running")
    store.client.delete(store.keys.member("worker", "gone@h"))
    told = {item["what"].split(";")[0]: item["cure"] for item in ask("workers").of("workers") if item["cure"]}
    assert told["out@h is drained: it takes no new tasks"] == "airflow hybrid drain out@h --undo, or stop it"
    assert any(what.startswith("Worker gone@h fell silent") for what in told)


def test_a_scheduler_announces_itself_and_takes_that_back(
    ask: Examine, make_executor: Callable[..., Any], store: Store
) -> None:
    executor = make_executor(job_id=7)
    executor.heartbeat()
    [member] = store.presence.members("scheduler")
    assert (member.name, member.is_alive, member.fields["pools"]) == ("7", True, "kubernetes,celery")
    assert ask("workers").one("schedulers")[1] == "1 alive (job 7)"
    executor.end()
    assert store.presence.members("scheduler") == []


def test_secrets_that_differ_are_found_by_what_components_announce(
    ask: Examine, make_executor: Callable[..., Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_options(monkeypatch, **SECRETS)
    executor = make_executor(job_id=7)
    executor.heartbeat()
    assert ask("airflow").one("secrets equal")[0] == "ok"
    other = "another-secret-than-that-of-the-scheduler"
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", other)
    report = ask("airflow")
    level, what, cure = report.one("secrets equal")
    assert (report.code, level) == (1, "failure")
    assert what.startswith("[api_auth] jwt_secret differs: scheduler 7 (")
    assert fingerprint(other, name="api_auth.jwt_secret", instance="airflow") in what
    assert cure.startswith("set [api_auth] jwt_secret to the same value everywhere")
    assert "another-secret" not in json.dumps(report.printed)
    executor.end()


def test_two_databases_with_one_instance_are_found(
    ask: Examine, make_executor: Callable[..., Any], store: Store
) -> None:
    executor = make_executor(job_id=7)
    executor.heartbeat()
    assert ask("workers").one("one deployment")[0] == "ok"
    announce(store, "scheduler", "8", database="of-another-airflow")
    report = ask("workers")
    level, what, cure = report.one("one deployment")
    assert (report.code, level) == (1, "failure")
    assert "(database of-another-airflow)" in what
    assert cure.startswith("set a different [hybrid_executor] instance in each deployment")
    executor.end()


def test_clashes_that_agents_announce_and_other_versions_are_told(ask: Examine, store: Store) -> None:
    place = json.dumps({"default/airflow": "someones-pod"})
    announce(store, "agent", "a", clusters="default", clashes=place, version="9.9.9", airflow="1.2.3")
    report = ask("workers")
    assert "someones-pod" in report.of("one deployment")[0]["what"]
    assert [item["what"].split(" ")[0] for item in report.of("versions")] == ["airflow-hybrid-executor", "Airflow"]
    assert {item["level"] for item in report.of("versions")} == {"warning"}


def test_redis_that_is_gone_is_told_once_for_the_crew(ask: Examine) -> None:
    report = ask("workers", "airflow", hybrid_executor__redis_url=f"redis://127.0.0.1:{free_port()}/0")
    assert report.one("announcements")[0] == "failure"
    assert "queues" in report.one("not checked")[1]
    assert report.one("secrets equal")[0] == "unknown"
    assert report.one("executor")[0] == "ok"


class Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_health = self.path == "/execution/health"
        body = b'{"status":"healthy"}' if is_health else b"{}"
        self.send_response(200 if is_health else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def api() -> Iterator[str]:
    server = EndingServer(Api)
    server.begin()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.end()


def test_the_execution_api_is_asked_whether_it_is_healthy(ask: Examine, api: str) -> None:
    assert ask("airflow", core__execution_api_server_url=f"{api}/execution/").one("execution API")[0] == "ok"
    wrong = ask("airflow", core__execution_api_server_url=f"{api}/elsewhere/")
    assert (wrong.code, "HTTP 404, so another server or path" in wrong.one("execution API")[1]) == (1, True)
    port = free_port()
    level, what, cure = ask("airflow", core__execution_api_server_url=f"http://127.0.0.1:{port}/execution/").one(
        "execution API"
    )
    assert level == "failure"
    assert f":{port}/execution/ does not answer from here: Connection refused" in what
    assert cure.startswith("start the API server, or set [core] execution_api_server_url")


def test_another_executor_and_limits_that_do_not_fit_are_told(ask: Examine, api: str) -> None:
    report = ask(
        "airflow",
        core__executor="LocalExecutor",
        core__execution_api_server_url=f"{api}/execution/",
        scheduler__task_queued_timeout="35",
        hybrid_executor__record_retention="600",
    )
    assert report.one("executor")[0] == "failure"
    told = {item["what"].split(" ")[1]: item["level"] for item in report.of("timeouts") if item["level"] != "ok"}
    assert told == {
        "task_queued_timeout": "failure",
        "record_retention": "warning",
        "launch_patience": "warning",
    }


@pytest.fixture
def silent() -> Iterator[list[int]]:
    """Ports of servers that take connections and never answer."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    yield [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()


def test_servers_that_never_answer_are_each_told_and_end_the_command(
    ask: Examine, silent: list[int], tmp_path: Path
) -> None:
    redis_port, cluster_port, api_port = silent
    address = {"clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{cluster_port}"}}]}
    user = {"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {}}]}
    (tmp_path / "kubeconfig").write_text(
        json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "c", **address, **user})
    )
    report = ask(
        hybrid_executor__redis_url=f"redis://127.0.0.1:{redis_port}/0",
        kubernetes_executor__in_cluster="False",
        kubernetes_executor__config_file=str(tmp_path / "kubeconfig"),
        core__execution_api_server_url=f"http://127.0.0.1:{api_port}/execution/",
    )
    assert report.code == 1
    assert [(item["part"], item["level"]) for item in report.of("reachable")] == [
        ("redis", "failure"),
        ("redis", "failure"),
        ("kubernetes", "failure"),
    ]
    assert "no answer within 5 s" in report.one("execution API")[1]
    assert report.one("announcements")[0] == "failure"
    assert report.one("executor")[0] == "ok"


def test_a_deployment_without_pods_needs_no_cluster(ask: Examine) -> None:
    report = ask("kubernetes", hybrid_executor__routes="*=celery")
    assert (report.code, report.one("routes")[0]) == (0, "ok")


def test_a_configuration_that_cannot_be_read_is_one_finding(ask: Examine) -> None:
    report = ask(hybrid_executor__routes="kubernetes=kubernetes")
    assert report.code == 1
    [only] = report.findings
    assert (only["check"], only["level"]) == ("configuration", "failure")
    assert "add '*=celery'" in only["what"]


def test_providers_that_are_installed_do_not_clash(ask: Examine, api: str) -> None:
    assert ask("airflow", core__execution_api_server_url=f"{api}/execution/").one("providers")[0] == "ok"


def test_an_unknown_part_is_a_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    args = Namespace(parts=["reddis"], strict=False, quiet=False, output="table", json=False)
    assert exit_code_of(doctor, args) == 2
    told = capsys.readouterr()
    assert told.err == (
        "airflow hybrid: Unknown part 'reddis': write redis, kubernetes, airflow, workers, or nothing for all.\n"
    )


@pytest.mark.usefixtures("store")
def test_the_table_fits_80_columns_and_quiet_leaves_out_what_is_well(
    ask: Examine, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    set_options(monkeypatch, hybrid_executor__redis_url=redis_url, hybrid_executor__routes=ROUTES)
    whole = Namespace(parts=["redis", "workers"], strict=False, quiet=False, output="table", json=False)
    assert exit_code_of(doctor, whole) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "Redis: as the store reaches it" in text
    assert "-> run airflow hybrid worker --queues etl" in " ".join(text.split())
    assert exit_code_of(doctor, Namespace(**{**vars(whole), "quiet": True})) == 0
    quiet = capsys.readouterr().out
    assert "noeviction" not in quiet
    assert "No agent is alive for cluster default" in " ".join(quiet.split())
    assert quiet.splitlines()[-1] == text.splitlines()[-1]


def test_plain_columns_are_one_line_each(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_options(monkeypatch, hybrid_executor__redis_url=redis_url, hybrid_executor__routes="*=celery")
    exit_code_of(doctor, Namespace(parts=["redis"], strict=False, quiet=False, output="plain", json=False))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["part", "subject", "level", "check", "what", "cure"]
    assert all(line.startswith("redis") for line in lines[1:])
