"""``airflow hybrid worker``: what is checked before it starts, and how Celery is told."""

from __future__ import annotations

import argparse
import os
import socket
from itertools import pairwise

import fakeredis
import pytest

from hybrid_executor.config import DictConfig
from hybrid_executor.errors import ConfigError
from hybrid_executor.store import Store
from hybrid_workers.checks import check_name, check_store
from hybrid_workers.command import Arguments, celery_options, run_worker
from hybrid_workers.deployment import read_deployment

NAME = "celery@here"


def options(arguments: Arguments | None = None, **celery: str) -> dict[str, str]:
    conf = DictConfig(
        {"celery": {"broker_url": "redis://h/0", **celery}, "logging": {"logging_level": "WARNING"}},
    )
    made = celery_options(arguments or Arguments(), read_deployment(conf), conf)
    assert made[:3] == ["worker", "-O", "fair"]
    pairs = dict(pairwise(made))
    return {name: value for name, value in pairs.items() if name.startswith("--")}


def test_without_arguments_the_configuration_decides() -> None:
    made = options(worker_concurrency="5")
    assert (made["--queues"], made["--concurrency"]) == ("default", "5")
    assert made["--loglevel"] == "WARNING"
    assert made["--hostname"] == f"celery@{socket.gethostname()}"
    assert "--autoscale" not in made


def test_arguments_win() -> None:
    arguments = Arguments(
        queues="a, b,", concurrency=2, celery_hostname="w@host", autoscale="4,1", without_gossip=True, verbose=True
    )
    made = options(arguments, worker_autoscale="8,2")
    assert (made["--queues"], made["--concurrency"], made["--hostname"]) == ("a,b", "2", "w@host")
    assert (made["--autoscale"], made["--loglevel"]) == ("4,1", "DEBUG")


def test_no_queue_is_an_error_that_names_the_options() -> None:
    with pytest.raises(ConfigError, match=r"--queues, or set \[operators\] default_queue"):
        options(Arguments(queues=" ,"))


def test_without_any_redis_the_error_says_what_to_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", "")
    assert run_worker(argparse.Namespace(queues="a", concurrency=None)) == 1
    assert "Set [hybrid_executor] redis_url" in capsys.readouterr().err


def test_a_redis_that_does_not_answer_is_named_with_its_option() -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    store = Store(fakeredis.FakeRedis(server=server, decode_responses=True), instance="i")
    with pytest.raises(ConfigError, match=r"correct \[hybrid_executor\] redis_url"):
        check_store(store, patience_seconds=0)


@pytest.fixture
def store() -> Store:
    return Store(fakeredis.FakeRedis(decode_responses=True), instance="i")


def test_a_name_that_nobody_has_is_free(store: Store) -> None:
    check_name(store, NAME)
    assert store.presence.members("worker") == []


def test_the_name_of_a_dead_process_of_this_host_is_free(store: Store) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    fields = {"hostname": socket.gethostname(), "pid": str(pid)}
    store.presence.announce("worker", NAME, fields, seconds=30)
    check_name(store, NAME)


def test_the_name_of_a_worker_that_is_alive_is_taken(store: Store) -> None:
    class Announcing:
        """A store in which the other worker announces itself whenever somebody looks."""

        def __getattribute__(self, name: str) -> object:
            if name == "presence":
                store.presence.announce("worker", NAME, {"hostname": "elsewhere", "pid": "1"}, seconds=30)
            return getattr(store, name)

    with pytest.raises(ConfigError, match="is running already"):
        check_name(Announcing(), NAME)  # type: ignore[arg-type]
