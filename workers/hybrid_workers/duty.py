"""A worker's duty: which queues it serves, whether it takes work at all, and the orders that it carries out.

Orders come through the store and not through Celery's remote control: they reach a worker whose broker connection is
deaf, need neither remote control nor one broker for all, and show in the worker's announcement when they are obeyed.
They are put from the heartbeat's thread and carried out in the main thread, which alone may touch the consumer.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hybrid_executor.store import Order
from hybrid_workers.activity import Activity, WorkerCard

if TYPE_CHECKING:
    from hybrid_workers.consumer import CarefulConsumer

log = logging.getLogger(__name__)

RECONNECT_AFTER_SECONDS = 30.0
_PAUSE = "use airflow hybrid drain"


class Duty:
    """The duty of one worker; keeps its card true."""

    def __init__(self, card: WorkerCard) -> None:
        self._card = card
        self._orders: deque[Order] = deque()
        self._reconnected_at = 0.0

    def put(self, orders: Iterable[Order]) -> None:
        """Have orders carried out the next time the main thread comes round; safe from any thread."""
        self._orders.extend(orders)

    def come_round(self, consumer: CarefulConsumer, *, now: float) -> None:
        """Carry out orders and note that the main thread is alive.

        :param now: seconds since the epoch.
        :raises ConnectionResetError: the worker is deaf; Celery then connects again.
        """
        self._card.loop_at = now
        self._note_size(consumer)
        while self._orders:
            self._try_to_obey(self._orders[0], consumer)
            self._orders.popleft()
        self._card.queues = tuple(sorted(consumer.app.amqp.queues.consume_from))
        since = self._card.deaf_since
        if since and now - max(since, self._reconnected_at) > RECONNECT_AFTER_SECONDS:
            self._reconnected_at = now
            log.error("Messages wait and none has come for %.0f s; connecting to the broker again", now - since)
            raise ConnectionResetError("connected again because messages wait and none arrived")

    def _note_size(self, consumer: CarefulConsumer) -> None:
        """Note how many task processes there are, and how many there may be where the worker makes more at need.

        Celery's commands ``pool_shrink`` and ``autoscale`` may leave none, and then nothing would ever run.
        """
        autoscaler = consumer.controller.autoscaler
        if autoscaler and autoscaler.max_concurrency < 1:
            log.error("No task process is allowed, so that nothing would run: allowing one. To pause, %s", _PAUSE)
            autoscaler.update(1, 0)
        elif not autoscaler and consumer.pool.num_processes < 1:
            log.error("There is no task process left, so that nothing would run: making one. To pause, %s", _PAUSE)
            consumer.pool.grow(1)
        self._card.processes = int(consumer.pool.num_processes)
        self._card.concurrency = max(self._card.processes, autoscaler.max_concurrency if autoscaler else 0)

    def _try_to_obey(self, order: Order, consumer: CarefulConsumer) -> None:
        """Carry out one order. Where the connection breaks meanwhile, it is carried out over the next connection."""
        try:
            self._obey(order, consumer)
        except (*consumer.connection_errors, *consumer.channel_errors):
            raise
        except Exception:  # noqa: BLE001 - one order that cannot be obeyed must not keep the others waiting
            log.exception("The order to %s could not be obeyed", order.verb)

    def _obey(self, order: Order, consumer: CarefulConsumer) -> None:
        log.info("Order from a user: %s %s", order.verb, order.queue)
        if order.verb == "drain":
            self._drain(consumer)
        elif order.verb == "resume":
            self._resume(consumer)
        elif order.verb == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        elif order.verb == "add-queue":
            self._add(order.queue, consumer)
        elif order.verb == "remove-queue":
            self._remove(order.queue, consumer)

    def _drain(self, consumer: CarefulConsumer) -> None:
        if self._card.is_draining:
            return
        self._card.paused_queues = tuple(sorted(consumer.app.amqp.queues.consume_from))
        for queue in self._card.paused_queues:
            consumer.cancel_task_queue(queue)
        # In this order: a reader that sees that it drains also sees that it serves no queue.
        self._card.queues = ()
        self._card.is_draining = True
        consumer.give_back_waiting()

    def _resume(self, consumer: CarefulConsumer) -> None:
        if not self._card.is_draining or self._card.is_leaving:
            return
        for queue in self._card.paused_queues:
            _serve(queue, consumer)
        self._card.queues = self._card.paused_queues
        self._card.paused_queues = ()
        self._card.is_draining = False

    def _add(self, queue: str, consumer: CarefulConsumer) -> None:
        if self._card.is_draining:
            self._card.paused_queues = tuple(sorted({*self._card.paused_queues, queue}))
        else:
            _serve(queue, consumer)

    def serve(self, queue: str, consumer: CarefulConsumer) -> None:
        """Serve a queue that was left out for a while, as soon as the worker takes work."""
        self._add(queue, consumer)

    def _remove(self, queue: str, consumer: CarefulConsumer) -> None:
        self._card.paused_queues = tuple(name for name in self._card.paused_queues if name != queue)
        if queue in consumer.app.amqp.queues.consume_from:
            consumer.cancel_task_queue(queue)


def _serve(queue: str, consumer: CarefulConsumer) -> None:
    """Take messages from a queue, now and after each reconnect; Celery before 5.7 forgets a queue it had cancelled."""
    consumer.add_task_queue(queue)
    queues = consumer.app.amqp.queues
    if queue not in queues.consume_from:
        queues.select_add(queues[queue])


def deaf_since(card: WorkerCard, activity: Activity, *, any_waiting: bool, now: float) -> float:
    """Return since when the worker has been deaf, 0 where it is not.

    A worker is deaf while messages wait in its queues, it has a free task process, and it has taken none of them. A
    busy worker is not, and neither is one without work to take.
    """
    is_free = len(activity.running) + len(activity.waiting) < card.concurrency
    if not any_waiting or not is_free or card.is_draining or card.is_leaving:
        return 0.0
    if card.deaf_since and card.consumed_at <= card.deaf_since:
        return card.deaf_since
    return now
