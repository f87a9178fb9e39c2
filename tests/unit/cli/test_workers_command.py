"""``airflow hybrid workers`` and the commands that tell workers what to do."""

from __future__ import annotations

import json
from argparse import Namespace

import fakeredis
import pytest

from hybrid_executor.cli.flower_command import flower_arguments
from hybrid_executor.config import DictConfig
from hybrid_executor.errors import ConfigError
from hybrid_executor.insight.members import view_worker
from hybrid_executor.operations.done import Done
from hybrid_executor.operations.workers import add_queue, choose, drain_workers, stop_workers
from hybrid_executor.store import Member, Order, Store


def member(name: str, *, queues: str = "a", silent_seconds: float = 1.0, **fields: str) -> Member:
    known = {"life": name, "queues": queues, "state": "running", "running": "[]", **fields}
    return Member(role="worker", name=name, fields=known, silent_seconds=silent_seconds)


GONE = Member(role="worker", name="w0@gone", fields={}, silent_seconds=500.0)
ALL = [GONE, member("w1@host"), member("w2@host", queues="a,b")]


@pytest.mark.parametrize(
    ("name", "queue", "chosen"),
    [("w1@host", None, ["w1@host"]), ("host", None, ["w1@host", "w2@host"]), (None, "b", ["w2@host"])],
)
def test_workers_are_chosen_by_name_host_or_queue(name: str | None, queue: str | None, chosen: list[str]) -> None:
    assert [one.name for one in choose(ALL, name=name, queue=queue)] == chosen


def test_a_drained_worker_is_meant_by_the_queues_that_it_will_serve_again() -> None:
    drained = member("w3@host", queues="", state="drained", paused_queues="c,d")
    assert choose([*ALL, drained], name=None, queue="c") == [drained]
    assert view_worker(drained, now=100).paused_queues == ("c", "d")


@pytest.mark.parametrize(
    ("name", "queue", "words"),
    [
        ("w0@gone", None, r"There is no live worker with the name or host w0@gone. Live workers: w1@host, w2@host\."),
        (None, "c", "There is no live worker that serves the queue c"),
        (None, None, "No worker given"),
    ],
)
def test_nobody_to_tell_is_an_error_that_says_who_there_is(name: str | None, queue: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose(ALL, name=name, queue=queue)


def test_a_worker_is_described_in_plain_types() -> None:
    running = json.dumps(["attempt"])
    shown = view_worker(member("w", running=running, concurrency="4", started_at="10", consumed_at="90"), now=100)
    assert (shown.running, shown.queues, shown.concurrency, shown.since) == (("attempt",), ("a",), 4, 10)
    assert (shown.heartbeat_age, shown.seconds_since_message) == (1.0, 10.0)
    assert view_worker(GONE, now=100).state == "silent"


@pytest.fixture
def store() -> Store:
    return Store(fakeredis.FakeRedis(decode_responses=True), instance="i")


def test_an_order_reaches_one_life_of_a_worker_once_and_is_forgotten(store: Store) -> None:
    store.orders.give("life", Order("add-queue", "q"))
    assert 0 < int(str(store.client.ttl(store.keys.orders("life")))) <= 300
    assert store.orders.take("another life") == []
    assert store.orders.take("life") == [Order("add-queue", "q")]
    assert store.orders.take("life") == []


def test_a_worker_that_does_not_obey_in_time_is_told(store: Store) -> None:
    store.presence.announce("worker", "w", {"life": "l", "state": "running"}, seconds=30)
    told: list[Done] = []
    [done] = drain_workers(store, store.presence.members("worker"), seconds=0, report=told.append)
    assert (str(done), done.is_done) == ("w: has not done it yet; see 'airflow hybrid workers'", False)
    assert told == [done]
    assert store.orders.take("l") == [Order("drain")]


def test_a_worker_that_came_after_under_the_same_name_counts_as_gone(store: Store) -> None:
    store.presence.announce("worker", "w", {"life": "later", "state": "running"}, seconds=30)
    assert stop_workers(store, [member("w")], seconds=0) == [Done(item="w", is_done=True, words="gone")]


def test_a_worker_without_a_name_for_its_life_is_told_nothing_and_said_to_be_old(store: Store) -> None:
    store.presence.announce("worker", "w", {"state": "running"}, seconds=30)
    [done] = drain_workers(store, store.presence.members("worker"), seconds=0)
    assert not done.is_done
    assert done.words == "is of an older release, which takes no orders: restart it with this release"


@pytest.mark.parametrize("queue", ["a,b", " ", ""])
def test_a_text_that_is_no_name_of_one_queue_is_refused_before_any_worker_is_told(store: Store, queue: str) -> None:
    with pytest.raises(ConfigError, match="is not the name of one queue: write one name, without commas"):
        add_queue(store, [member("w")], queue)
    assert store.orders.take("w") == []


def test_flower_gets_its_options_from_the_command_line_or_the_configuration() -> None:
    conf = DictConfig({"celery": {"flower_port": "7777", "flower_url_prefix": "/f", "flower_basic_auth": "u:p"}})
    none = Namespace(hostname=None, port=None, url_prefix=None, flower_conf=None, basic_auth=None, broker_api=None)
    words, secrets = flower_arguments(none, conf)
    assert words == ["--address=0.0.0.0", "--port=7777", "--url-prefix=/f"]
    assert secrets == {"FLOWER_BASIC_AUTH": "u:p"}
    given = Namespace(**{**vars(none), "hostname": "h", "port": 1, "flower_conf": "c.py", "broker_api": "http://u:p@r"})
    words, secrets = flower_arguments(given, conf)
    assert words == ["--address=h", "--port=1", "--url-prefix=/f", "--conf=c.py"]
    assert secrets["FLOWER_BROKER_API"] == "http://u:p@r"
