"""A Redis Cluster is refused in words by everything that starts, on a real one."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.agent.main import run_agent
from hybrid_executor.config import DictConfig, read_settings
from hybrid_executor.config.kubernetes import read_kubernetes_settings
from hybrid_executor.errors import ConfigError
from hybrid_executor.store import RedisSettings, open_store
from tests.integration.rabbitmq import free_port
from tests.integration.redis_installed import Server, find_server, start_cluster
from tests.integration.workers.near_side import Scheduler, start_worker_process
from tests.integration.workers.real_worker import AIRFLOW, make_home
from tests.waiting import PATIENCE_SECONDS

pytestmark = [
    pytest.mark.redis_server,
    pytest.mark.skipif(find_server() is None, reason="redis-server is not installed"),
]
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
users: [{name: u, user: {}}]
"""
REFUSED = "leads to a Redis Cluster (cluster-enabled yes), which cannot be used"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_cluster(tmp_path_factory.mktemp("cluster") / "redis")
    yield server
    server.kill()


@pytest.fixture
def url(cluster: Server) -> str:
    return f"redis://127.0.0.1:{cluster.port}/0"


def test_the_executor_does_not_start(make_executor: Callable[..., Any], url: str) -> None:
    with pytest.raises(ConfigError, match=r"redis_url .*a Redis Cluster.*Sentinel"):
        make_executor(hybrid_executor__redis_url=url, celery__broker_url=url)


def test_the_executor_does_not_start_with_one_as_its_broker(make_executor: Callable[..., Any], url: str) -> None:
    with pytest.raises(ConfigError, match=r"\[celery\] broker_url leads to a Redis Cluster"):
        make_executor(celery__broker_url=url)


def test_an_agent_does_not_start(url: str, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(KUBECONFIG)
    conf = DictConfig(
        {
            "hybrid_executor": {"redis_url": url},
            "kubernetes_executor": {"in_cluster": "False", "config_file": str(file)},
        }
    )
    settings, kubernetes = read_settings(conf), read_kubernetes_settings(conf)
    with pytest.raises(ConfigError, match="leads to a Redis Cluster"):
        run_agent(settings=settings, kubernetes_settings=kubernetes, stop=threading.Event())


@pytest.mark.parametrize(("command", "code"), [("worker", 1), ("queues", 2)])
def test_a_command_says_so_in_one_line(url: str, tmp_path: Path, command: str, code: int) -> None:
    home = make_home(tmp_path, url, log_port=free_port())
    words = [AIRFLOW, "hybrid", command]
    done = subprocess.run(
        words, env=home.environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == code
    assert REFUSED in done.stderr
    assert "Traceback" not in done.stderr


def test_celerys_own_command_starts_no_worker(url: str, tmp_path: Path) -> None:
    worker = start_worker_process(url, "worker@test", tmp_path)
    assert worker.wait() == 1
    assert REFUSED in worker.output


def test_one_that_was_away_at_the_start_is_told_by_its_answers(url: str) -> None:
    scheduler = Scheduler(url)
    with pytest.raises(ConfigError, match="a Redis Cluster"):
        scheduler.submit(scheduler.work())
    scheduler.store.close()


def test_a_user_without_the_permission_to_read_the_servers_state_is_told_too(cluster: Server, url: str) -> None:
    cluster.client.acl_setuser("few", enabled=True, nopass=True, commands=["+@connection"], reset=True)
    store = open_store(RedisSettings(url=url, options={"username": "few"}), instance="test")
    with pytest.raises(ConfigError, match="a Redis Cluster"):
        store.ping()
    store.close()


def test_a_user_without_any_permission_to_ask_is_let_in(redis_url: str) -> None:
    store = open_store(RedisSettings(url=redis_url), instance="test")
    store.client.acl_setuser("few", enabled=True, nopass=True, commands=["+ping", "+client", "+select"], reset=True)
    try:
        other = open_store(RedisSettings(url=redis_url, options={"username": "few", "protocol": 2}), instance="test")
        other.ping()
        other.close()
    finally:
        store.client.acl_deluser("few")
        store.close()
