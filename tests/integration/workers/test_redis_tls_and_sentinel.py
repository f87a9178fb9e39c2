"""Redis with TLS and with Sentinel: worker, executor and sender reach it as ``[celery]`` says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hybrid_executor.config import DictConfig
from hybrid_executor.config.celery import read_celery_settings
from hybrid_executor.errors import ConfigError
from hybrid_executor.pools.celery_sender import BrokerSender
from hybrid_workers.checks import check_store
from hybrid_workers.deployment import ProcessStore, read_deployment
from tests.certificates import write_certificate
from tests.integration.redis_installed import (
    MASTER,
    PASSWORD,
    SENTINEL_PASSWORD,
    Server,
    Watched,
    find_server,
    start_with_tls,
)
from tests.integration.workers.near_side import INSTANCE, Scheduler, callback_json, wait_until
from tests.integration.workers.real_worker import Daemon, make_home

pytestmark = [
    pytest.mark.redis_server,
    pytest.mark.skipif(find_server() is None, reason="redis-server is not installed"),
]
Started = Callable[[Mapping[str, str]], Any]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("certificate"), "redis")


@pytest.fixture(scope="module")
def tls_redis(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_with_tls(tmp_path_factory.mktemp("tls") / "redis", certificate)
    yield server
    server.kill()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    servers = Watched(tmp_path)
    yield servers
    servers.kill()


@pytest.fixture
def start(make_executor: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    """Return a function that starts a worker and an executor with the same options."""
    daemons: list[Daemon] = []

    def both(options: Mapping[str, str]) -> Any:
        monkeypatch.delenv("AIRFLOW__HYBRID_EXECUTOR__REDIS_URL")
        home = make_home(tmp_path / "home", "", log_port=0)
        begun = home.worker("-D", "-s", "-H", "worker@test", "-c", "1", **options)
        assert begun.returncode == 0, begun.stderr
        pid_file = home.path / "airflow-worker.pid"
        wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), what="the worker has a pid")
        daemons.append(Daemon(int(pid_file.read_text())))
        return make_executor(hybrid_executor__repair_interval="1", **options)

    yield both
    for daemon in daemons:
        daemon.kill()


def tls_options(server: Server, certificate: Path) -> dict[str, str]:
    return {
        "broker_url": f"rediss://:{PASSWORD}@127.0.0.1:{server.port}/0",
        "ssl_active": "True",
        "ssl_key": str(certificate),
        "ssl_cert": str(certificate),
        "ssl_cacert": str(certificate),
    }


def of_celery(options: Mapping[str, str]) -> dict[str, str]:
    return {f"celery__{name}": text for name, text in options.items()}


def run(executor: Any, *, seconds: float = 40) -> None:
    """Have the executor run a callback, and wait until it knows of its success."""
    from airflow.executors.workloads import ExecuteCallback

    text = callback_json(str(uuid4()), {}).replace("scripted.run", "builtins.print")
    workload = ExecuteCallback.model_validate_json(text)
    executor.queue_workload(workload, session=None)

    def is_done() -> bool:
        executor.heartbeat()
        return "success" in [event[0] for event in executor.event_buffer.values()]

    wait_until(is_done, seconds=seconds, what="the callback has run")
    executor.get_event_buffer()


def test_worker_and_executor_work_over_mutual_tls(start: Started, tls_redis: Server, certificate: Path) -> None:
    run(start(of_celery(tls_options(tls_redis, certificate))))


@pytest.mark.parametrize("scheme", ["rediss", "redis"])
def test_the_sender_to_another_broker_uses_tls(tls_redis: Server, certificate: Path, scheme: str) -> None:
    options = tls_options(tls_redis, certificate)
    options["broker_url"] = options["broker_url"].replace("rediss", scheme)
    conf = DictConfig({"celery": {**options, "operation_timeout": "5"}})
    sender = BrokerSender(read_celery_settings(conf), instance=INSTANCE)
    queue = f"sent-over-{scheme}"
    assert sender.send([Scheduler("redis://127.0.0.1:1/0").work(queue=queue)]) == []
    assert tls_redis.client.llen(queue) == 1
    sender.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [({"ssl_mutual_tls": "False"}, "the ssl_ options"), ({"ssl_cacert": ""}, "certificate verify failed")],
)
def test_who_shows_no_certificate_or_does_not_know_the_authority_is_told_what_to_set(
    tls_redis: Server, certificate: Path, change: dict[str, str], words: str
) -> None:
    deployment = read_deployment(DictConfig({"celery": {**tls_options(tls_redis, certificate), **change}}))
    with pytest.raises(ConfigError, match=words):
        check_store(ProcessStore(deployment)(), patience_seconds=0)


def test_work_goes_on_with_the_replica_that_sentinel_promotes(start: Started, watched: Watched) -> None:
    transport = "celery_broker_transport_options__"
    options = {
        "celery__broker_url": watched.url,
        f"{transport}master_name": MASTER,
        f"{transport}sentinel_kwargs": f'{{"password": "{SENTINEL_PASSWORD}"}}',
    }
    executor = start(options)
    run(executor)
    wait_until(watched.is_replicated, what="the replica has everything")
    watched.master.kill()
    run(executor)
    address = watched.sentinel.client.sentinel_get_master_addr_by_name(MASTER)
    assert address == ("127.0.0.1", watched.replica.port)
    assert watched.replica.client.role()[0] == "master"
