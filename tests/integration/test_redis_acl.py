"""Executor, worker and agent under the very ACL that docs/redis.md prints, and with a part of it missing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hybrid_executor.agent.main import run_agent
from hybrid_executor.config import DictConfig
from hybrid_executor.config.celery import read_celery_settings
from hybrid_executor.errors import StoreForbidden
from hybrid_executor.pools.celery_sender import BrokerSender
from hybrid_executor.states import State
from hybrid_workers.celery_app import create_worker_app
from hybrid_workers.checks import check_permissions
from hybrid_workers.deployment import ProcessStore, read_deployment
from tests.integration.agent.conftest import World
from tests.integration.redis_installed import Server
from tests.integration.workers.near_side import INSTANCE, Scheduler, callback_json, wait_until
from tests.integration.workers.real_worker import Daemon, Home, make_home
from tests.redis_acl import PASSWORD, create_user, documented_rules
from tests.waiting import PATIENCE_SECONDS

RULES = documented_rules()
# redis-py tells its name and version where it may, and takes no notice where it may not.
_UNIMPORTANT = ("client|setinfo", "client|setname", "client")


@pytest.fixture
def redis_url(server: Server) -> str:
    server.client.flushall()
    server.client.execute_command("ACL", "LOG", "RESET")
    for user, rules in RULES.values():
        create_user(server.client, user, rules)
    return f"redis://127.0.0.1:{server.port}/0"


def url_of(part: str, server: Server) -> str:
    return f"redis://{RULES[part][0]}:{PASSWORD}@127.0.0.1:{server.port}/0"


def take_away(rule: str, part: str, server: Server) -> None:
    user, rules = RULES[part]
    assert rule in rules
    create_user(server.client, user, [left for left in rules if left != rule])


def denied(server: Server) -> list[str]:
    """Return what the server has denied to anybody."""
    log: Any = server.client.acl_log()
    return [f"{entry['username']}: {entry['object']}" for entry in log if entry["object"] not in _UNIMPORTANT]


def make_worker_home(server: Server, path: Path) -> Home:
    return make_home(path, url_of("worker", server), log_port=0)


def test_work_is_done_under_the_documented_acl_and_nothing_is_denied(
    server: Server, redis_url: str, make_executor: Callable[..., Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from airflow.executors.workloads import ExecuteCallback

    home = make_worker_home(server, tmp_path / "home")
    begun = home.worker("-D", "-s", "-H", "worker@test", "-c", "1")
    assert begun.returncode == 0, begun.stderr
    pid_file = home.path / "airflow-worker.pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), what="the worker has a pid")
    request.addfinalizer(Daemon(int(pid_file.read_text())).kill)
    url = url_of("executor", server)
    executor = make_executor(
        hybrid_executor__redis_url=url, celery__broker_url=url, hybrid_executor__repair_interval="1"
    )
    text = callback_json(str(uuid4()), {}).replace("scripted.run", "builtins.print")
    executor.queue_workload(ExecuteCallback.model_validate_json(text), session=None)

    def is_done() -> bool:
        executor.heartbeat()
        return "success" in [event[0] for event in executor.event_buffer.values()]

    wait_until(is_done, seconds=60, what="the callback has run")
    executor.clock.advance(60)
    executor.heartbeat()
    assert denied(server) == []


def test_pods_are_launched_under_the_documented_acl_and_nothing_is_denied(
    server: Server, redis_url: str, tmp_path: Path
) -> None:
    world = World(redis_url, tmp_path)
    try:
        world.redis_url = url_of("agent", server)
        agent = world.start_agent()
        [attempt] = world.submit()
        wait_until(lambda: world.record(attempt).state is State.SUCCEEDED, seconds=40, what="the pod has succeeded")
        assert agent.stop() == 0
        assert denied(server) == []
    finally:
        world.close()


MISSING = {
    "+brpop": "the commands BRPOP",
    "+hdel": "the commands HDEL",
    "+watch": "the commands WATCH",
    "~default*": "the key patterns default*",
    "~unacked*": "the key patterns unacked*",
    "~_kombu.binding*": "the key patterns _kombu.binding*",
    "~*.celery.pidbox*": "the key patterns *.reply.celery.pidbox*, *.celery.pidbox*",
    "&/0.celery.pidbox": "the channels /0.celery.pidbox (PUBLISH and PSUBSCRIBE)",
    "+publish": "the channels /0.celery.pidbox (PUBLISH)",
}


def test_a_worker_names_whichever_permission_is_missing(server: Server, redis_url: str) -> None:
    deployment = read_deployment(DictConfig({"celery": {"broker_url": url_of("worker", server)}}))
    app, store = create_worker_app(deployment), ProcessStore(deployment)()

    def check() -> None:
        check_permissions(app, store, deployment.celery.broker, queues=["default"], name="w@host")

    check()
    for rule, words in MISSING.items():
        take_away(rule, "worker", server)
        with pytest.raises(StoreForbidden) as caught:
            check()
        said = f"The ACL of the Redis user {RULES['worker'][0]} lacks {words}: grant"
        assert str(caught.value).startswith(said), rule
        assert PASSWORD not in str(caught.value)
    store.close()


def test_a_worker_without_a_permission_ends_with_one_line(server: Server, redis_url: str, tmp_path: Path) -> None:
    take_away("~unacked*", "worker", server)
    ended = make_worker_home(server, tmp_path / "home").worker("-s", "-H", "worker@test", "-c", "1")
    assert ended.returncode == 1
    assert f"The ACL of the Redis user {RULES['worker'][0]} lacks the key patterns unacked*: grant" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_worker_that_celerys_own_command_starts_names_what_is_missing_too(
    server: Server, redis_url: str, tmp_path: Path
) -> None:
    take_away("+hdel", "worker", server)
    environment = {
        **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CELERY__BROKER_URL": url_of("worker", server),
        "PYTHONPATH": f"{Path(__file__).parents[2] / 'workers'}",
    }
    command = [sys.executable, "-m", "celery", "-A", "hybrid_workers.celery_app", "worker", "-c", "1", "-n", "w@host"]
    ended = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert ended.returncode == 1
    assert f"The ACL of the Redis user {RULES['worker'][0]} lacks the commands HDEL: grant" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_executor_and_an_agent_without_a_permission_end_with_a_message_that_names_it(
    server: Server, redis_url: str, make_executor: Callable[..., Any], tmp_path: Path
) -> None:
    take_away("+xautoclaim", "agent", server)
    take_away("~default*", "executor", server)
    url = url_of("executor", server)
    with pytest.raises(StoreForbidden, match=r"airflow-scheduler lacks the key patterns default\*: grant"):
        make_executor(hybrid_executor__redis_url=url, celery__broker_url=url)
    world = World(redis_url, tmp_path)
    world.redis_url = url_of("agent", server)
    try:
        with pytest.raises(StoreForbidden, match="airflow-agent lacks the commands XAUTOCLAIM: grant"):
            run_agent(
                settings=world.settings(), kubernetes_settings=world.kubernetes_settings(), stop=threading.Event()
            )
    finally:
        world.close()


def test_messages_are_sent_to_another_redis_under_the_documented_acl(server: Server, redis_url: str) -> None:
    conf = DictConfig({"celery": {"broker_url": url_of("sender", server), "operation_timeout": "5"}})
    sender = BrokerSender(read_celery_settings(conf), instance=INSTANCE)
    near = Scheduler(redis_url)
    try:
        assert sender.send([near.work()]) == []
        assert near.messages() == 1
        assert denied(server) == []
    finally:
        sender.close()
        near.store.close()


def test_what_another_redis_refuses_is_told_without_the_message(
    server: Server, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    take_away("+lpush", "sender", server)
    conf = DictConfig({"celery": {"broker_url": url_of("sender", server), "operation_timeout": "5"}})
    sender = BrokerSender(read_celery_settings(conf), instance=INSTANCE)
    near = Scheduler(redis_url)
    try:
        work = near.work()
        assert sender.send([work]) == [work]
    finally:
        sender.close()
        near.store.close()
    assert "Redis refuses a command: a permission is missing" in caplog.text
    assert "a-token-that-nobody-may-see" not in caplog.text
