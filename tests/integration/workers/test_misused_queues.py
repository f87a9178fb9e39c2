"""A queue whose Redis key holds something else: the worker goes on with its other queues."""

from __future__ import annotations

from collections.abc import Callable

import redis

from hybrid_executor.states import State
from tests.integration.workers.near_side import Scheduler, WorkerProcess, wait_until


def test_one_bad_queue_keeps_no_other_waiting_and_is_served_again_when_its_key_is_gone(
    redis_url: str, fresh_scheduler: Scheduler, start_worker: Callable[..., WorkerProcess]
) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.set("bad", "what somebody else wrote")
        worker = start_worker(queues="bad,good")
        [attempt] = fresh_scheduler.submit(fresh_scheduler.work(queue="good"))
        fresh_scheduler.wait_for(attempt, State.SUCCEEDED)
        assert worker.output.count("Queue bad is not served: the Redis key bad holds a value that is not a list") == 1
        assert fresh_scheduler.worker_fields(worker.name)["queues"] == "good"
        assert worker.output.count("Connection to broker lost") == 0
        assert client.get("bad") == "what somebody else wrote"
        client.delete("bad")
        wait_until(
            lambda: fresh_scheduler.worker_fields(worker.name)["queues"] == "bad,good", what="the queue is served again"
        )
        [attempt] = fresh_scheduler.submit(fresh_scheduler.work(queue="bad"))
        fresh_scheduler.wait_for(attempt, State.SUCCEEDED)


def test_books_of_the_broker_that_hold_something_else_are_named_and_waited_for(
    redis_url: str, fresh_scheduler: Scheduler, start_worker: Callable[..., WorkerProcess]
) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        worker = start_worker(queues="good")
        client.set("unacked", "what somebody else wrote")
        [attempt] = fresh_scheduler.submit(fresh_scheduler.work(queue="good"))
        wait_until(lambda: "the Redis key unacked holds something else" in worker.output, what="the worker says so")
        client.delete("unacked")
        fresh_scheduler.wait_for(attempt, State.SUCCEEDED)
        assert worker.output.count("the Redis key unacked holds something else") == 1
        assert "Traceback" not in worker.output
