"""The Celery pool turns work into submissions with messages, or hands them to a broker's sender."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace

import fakeredis
import pytest

from hybrid_executor.config import DictConfig, read_settings
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.pools.celery import CeleryPool, make_celery_pool
from hybrid_executor.pools.celery_message import build_message
from hybrid_executor.pools.work import Work
from hybrid_executor.store import Record, Store
from tests.store_view import queue_length

WORK = Work(
    attempt=AttemptId("a"),
    owner=OwnerId("1"),
    kind="task",
    workload_id="ti",
    queue="q",
    payload='{"token": "secret"}',
    fields={"dag_id": "d", "task_id": "t"},
)


class PartialSender:
    """Sends all but the last."""

    def send(self, batch: Sequence[Work]) -> list[Work]:
        return list(batch[-1:])

    def close(self) -> None:
        pass


@pytest.fixture
def store() -> Store:
    return Store(fakeredis.FakeRedis(decode_responses=True), instance="i")


def message(
    *, attempt: str = "a", text: str = WORK.payload, queue: str = "q", owner: str = "1", instance: str = "i"
) -> str:
    return build_message(AttemptId(attempt), text, queue=queue, owner=OwnerId(owner), instance=instance, generation=1)


def test_the_same_attempt_and_workload_give_the_same_message() -> None:
    assert message() == message()


@pytest.mark.parametrize("change", [{"attempt": "b"}, {"text": "{}"}, {"queue": "p"}, {"owner": "2"}])
def test_another_attempt_workload_queue_or_sender_gives_another_message(change: dict[str, str]) -> None:
    assert message(**change) != message()


@pytest.mark.parametrize("odd", ['q"uote', "back\\slash", "k\u00f6nig", "two words", "{0}", "%s"])
def test_odd_names_survive(odd: str) -> None:
    made = json.loads(message(attempt=odd, queue=odd))
    assert made["headers"]["id"] == made["properties"]["delivery_tag"] == odd
    assert made["properties"]["delivery_info"]["routing_key"] == odd


def test_headers_and_properties_do_not_show_the_workload() -> None:
    made = json.loads(message())
    made.pop("body")
    assert "secret" not in json.dumps(made)


def test_a_submission_holds_the_message_for_the_list_that_workers_read(store: Store) -> None:
    pool = CeleryPool(instance="i", key_prefix="prefix:")
    store.attempts.submit([pool.prepare(WORK)])
    assert store.client.lrange("prefix:q", 0, -1) == [message()]
    record = store.attempts.records([WORK.attempt])[0]
    assert record is not None
    assert (record.dag_id, record.task_id, record.queue, record.pool) == ("d", "t", "q", "celery")


def test_a_waiting_message_is_taken_back_also_by_a_scheduler_that_adopted_it(store: Store) -> None:
    pool = CeleryPool(instance="i")
    store.attempts.submit([pool.prepare(WORK), pool.prepare(replace(WORK, attempt=AttemptId("b")))])
    [record] = store.attempts.adopt([WORK.attempt], owner=OwnerId("2"))
    assert record is not None
    assert queue_length(store, "q") == 2
    assert pool.unsend(store, record, WORK.payload) is True
    assert pool.unsend(store, record, WORK.payload) is False
    assert queue_length(store, "q") == 1


def test_with_another_broker_the_record_comes_without_a_message_and_the_unsent_is_told(store: Store) -> None:
    pool = CeleryPool(instance="i", sender=PartialSender())
    other = replace(WORK, attempt=AttemptId("b"))
    assert pool.has_own_broker
    submission = pool.prepare(WORK)
    assert (submission.message, submission.queue_key) == ("", "")
    assert pool.publish([WORK, other]) == [other]


def records_of(store: Store, *names: str) -> list[Record]:
    found = store.attempts.records([AttemptId(name) for name in names])
    return [record for record in found if record is not None]


def submit_one_by_one(store: Store, pool: CeleryPool, *names: str) -> None:
    """Submit works, each a moment later than the one before."""
    for name in names:
        store.attempts.submit([pool.prepare(replace(WORK, attempt=AttemptId(name)))])
        time.sleep(0.002)


def test_what_is_older_than_the_next_message_has_left_its_queue(store: Store) -> None:
    pool = CeleryPool(instance="i")
    submit_one_by_one(store, pool, "a", "b", "c")
    assert pool.lost(store, records_of(store, "a", "b", "c")) == []
    store.client.rpop("q")
    assert [record.id for record in pool.lost(store, records_of(store, "a", "b", "c"))] == ["a"]
    store.client.delete("q")
    assert [record.id for record in pool.lost(store, records_of(store, "a", "b", "c"))] == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["garbage", "[]", "{}", '{"headers": {"id": "of-another-sender"}}'])
def test_a_message_of_somebody_else_says_nothing_about_ours(store: Store, text: str) -> None:
    pool = CeleryPool(instance="i")
    submit_one_by_one(store, pool, "a", "b")
    store.client.rpush("q", text)
    assert pool.lost(store, records_of(store, "a", "b")) == []


def test_the_old_message_of_what_was_submitted_again_says_nothing_about_younger_ones(store: Store) -> None:
    pool = CeleryPool(instance="i")
    submit_one_by_one(store, pool, "a", "b")
    again = replace(WORK, attempt=AttemptId("a"), expected_generation=1)
    assert store.attempts.submit([pool.prepare(again)]) == [2]
    assert pool.lost(store, records_of(store, "b")) == []


def test_with_another_broker_only_what_was_never_sent_is_lost(store: Store) -> None:
    pool = CeleryPool(instance="i", sender=PartialSender())
    submit_one_by_one(store, pool, "a", "b")
    store.attempts.annotate({AttemptId("a"): {"sent": "1"}})
    assert [record.id for record in pool.lost(store, records_of(store, "a", "b"))] == ["b"]


@pytest.mark.parametrize(
    ("broker", "redis", "has_own"),
    [("redis://h/0", "", False), ("redis://h/0", "redis://h:6379/0", False), ("redis://h/1", "redis://h/0", True)],
)
def test_the_configuration_decides_whether_messages_travel_with_records(broker: str, redis: str, has_own: bool) -> None:
    conf = DictConfig({"celery": {"broker_url": broker}, "hybrid_executor": {"redis_url": redis}})
    assert make_celery_pool(conf, read_settings(conf)).has_own_broker is has_own
