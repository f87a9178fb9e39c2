"""What a worker is told from afar, and when it is deaf."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.store import Order
from hybrid_workers.activity import Activity, WorkerCard
from hybrid_workers.duty import RECONNECT_AFTER_SECONDS, Duty, deaf_since

ONE = frozenset({AttemptId("a")})


class Consumer:
    """What Duty uses of Celery's consumer."""

    def __init__(self, *queues: str) -> None:
        self.queues = dict.fromkeys(queues)
        self.app: Any = SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from=self.queues)))
        self.pool = SimpleNamespace(num_processes=2)
        self.controller = SimpleNamespace(autoscaler=None)
        self.gave_back = 0

    def add_task_queue(self, queue: str) -> None:
        self.queues[queue] = None

    def cancel_task_queue(self, queue: str) -> None:
        self.queues.pop(queue)

    def give_back_waiting(self) -> None:
        self.gave_back += 1


def told(consumer: Consumer, *orders: Order) -> WorkerCard:
    card = WorkerCard(name="w")
    duty = Duty(card)
    duty.put(orders)
    duty.come_round(consumer, now=1.0)
    return card


def test_the_card_says_how_many_processes_there_are_and_how_many_there_may_be() -> None:
    consumer = Consumer("a")
    card = told(consumer)
    assert (card.concurrency, card.processes) == (2, 2)
    consumer.controller.autoscaler = SimpleNamespace(max_concurrency=8)
    card = told(consumer)
    assert (card.concurrency, card.processes) == (8, 2)


def test_a_pool_that_was_shrunk_to_nothing_gets_a_process_again() -> None:
    consumer = Consumer("a")
    consumer.pool = SimpleNamespace(num_processes=0)
    consumer.pool.grow = lambda n: setattr(consumer.pool, "num_processes", consumer.pool.num_processes + n)
    assert told(consumer).processes == 1


def test_an_autoscaler_that_was_told_to_allow_nothing_allows_one_process() -> None:
    consumer = Consumer("a")
    consumer.pool = SimpleNamespace(num_processes=0)
    scaler = SimpleNamespace(max_concurrency=0)
    scaler.update = lambda most, fewest: setattr(scaler, "max_concurrency", most)
    consumer.controller.autoscaler = scaler
    assert told(consumer).concurrency == 1


def test_a_drained_worker_serves_nothing_and_gives_back_once() -> None:
    consumer = Consumer("a", "b")
    card = told(consumer, Order("drain"), Order("drain"))
    assert (card.is_draining, card.queues, consumer.gave_back) == (True, (), 1)
    assert card.state(Activity()) == "drained"
    assert card.state(Activity(running=ONE)) == "draining"


def test_what_is_added_and_removed_while_drained_counts_when_it_resumes() -> None:
    orders = Order("drain"), Order("add-queue", "c"), Order("remove-queue", "a"), Order("resume")
    card = told(Consumer("a", "b"), *orders)
    assert (card.is_draining, card.queues) == (False, ("b", "c"))


def test_a_queue_that_is_not_served_can_be_removed() -> None:
    assert told(Consumer("a"), Order("remove-queue", "b")).queues == ("a",)


def test_stop_is_the_signal_that_everybody_sends() -> None:
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: got.append(number))
    try:
        told(Consumer("a"), Order("stop"))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert got == [signal.SIGTERM]


@pytest.mark.parametrize(
    ("card", "activity", "any_waiting", "since"),
    [
        (WorkerCard(name="w", concurrency=1), Activity(), True, 100.0),
        (WorkerCard(name="w", concurrency=1), Activity(), False, 0.0),
        (WorkerCard(name="w", concurrency=1), Activity(running=ONE), True, 0.0),
        (WorkerCard(name="w", concurrency=1), Activity(waiting=ONE), True, 0.0),
        (WorkerCard(name="w", concurrency=2), Activity(running=ONE), True, 100.0),
        (WorkerCard(name="w", concurrency=1, is_draining=True), Activity(), True, 0.0),
        (WorkerCard(name="w", concurrency=1, is_leaving=True), Activity(), True, 0.0),
        (WorkerCard(name="w", concurrency=1, deaf_since=40.0), Activity(), True, 40.0),
        (WorkerCard(name="w", concurrency=1, deaf_since=40.0, consumed_at=50.0), Activity(), True, 100.0),
    ],
)
def test_a_worker_is_deaf_while_it_takes_nothing_of_what_waits(
    card: WorkerCard, activity: Activity, any_waiting: bool, since: float
) -> None:
    assert deaf_since(card, activity, any_waiting=any_waiting, now=100.0) == since


def test_a_worker_that_is_deaf_for_long_connects_anew_once() -> None:
    card = WorkerCard(name="w", concurrency=1, deaf_since=100.0)
    duty = Duty(card)
    duty.come_round(Consumer("a"), now=100.0 + RECONNECT_AFTER_SECONDS)
    with pytest.raises(ConnectionResetError):
        duty.come_round(Consumer("a"), now=101.0 + RECONNECT_AFTER_SECONDS)
    duty.come_round(Consumer("a"), now=102.0 + RECONNECT_AFTER_SECONDS)
    assert card.loop_at == 102.0 + RECONNECT_AFTER_SECONDS
