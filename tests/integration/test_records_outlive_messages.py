"""What makes a second attempt of one piece of work: an id that was forgotten, a record that was gone too soon."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
import redis

from hybrid_executor.config import DictConfig, read_settings
from hybrid_executor.events import OwnerId
from hybrid_executor.executor import HybridExecutor
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.reports import Reports
from hybrid_executor.executor.submission import publish_unsent, submit
from hybrid_executor.pools.celery import CeleryPool
from hybrid_executor.pools.work import Work
from hybrid_executor.store import RedisSettings, Store, open_store
from hybrid_executor.targets import Target
from hybrid_workers.deployment import read_deployment


class SenderBesideAFailingRedis:
    """The way to a broker of its own; while it is used for the first time, the store's Redis stops answering."""

    def __init__(self, admin: redis.Redis) -> None:
        self._admin = admin
        self.sent: list[str] = []

    def send(self, batch: Sequence[Work]) -> list[Work]:
        if batch and not self.sent:
            self._admin.execute_command("CLIENT", "PAUSE", "1500", "ALL")
        self.sent += [work.attempt for work in batch]
        return []

    def take_refused(self) -> list[tuple[Work, str]]:
        return []

    def close(self) -> None:
        pass


def make_callback() -> Any:
    from airflow.executors.workloads import BundleInfo, ExecuteCallback
    from airflow.executors.workloads.callback import CallbackDTO  # type: ignore[attr-defined,unused-ignore]

    callback = CallbackDTO(
        id="01910000-0000-7000-8000-000000000001", fetch_method="import_path", data={"path": "x.y", "kwargs": {}}
    )
    return ExecuteCallback(
        callback=callback, dag_rel_path="dag.py", bundle_info=BundleInfo(name="dags"), token="t", log_path=None
    )


def test_a_callback_keeps_its_attempt_when_redis_fails_after_its_message_was_sent(
    redis_url: str, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with redis.Redis.from_url(redis_url) as admin:
        sender = SenderBesideAFailingRedis(admin)
        impatient = open_store(RedisSettings(url=redis_url, answer_seconds=0.3, retries=0), instance="airflow")
        settings = read_settings(DictConfig({"hybrid_executor": {"redis_url": redis_url, "routes": "*=celery"}}))
        context = Context(
            settings=settings,
            store=impatient,
            owner=OwnerId("1"),
            pools={"celery": CeleryPool(instance="airflow", sender=sender)},
            default_queue="default",
            reports=Reports(HybridExecutor()),
            make_workloads=lambda _: {},
        )
        submit(context, [(make_callback(), Target("celery"))])
        [tracked] = context.ledger
        assert sender.sent == [tracked.attempt]
        admin.execute_command("CLIENT", "UNPAUSE")
        publish_unsent(context)
        assert set(sender.sent) == store.attempts.live("celery") == {tracked.attempt}
        [record] = store.attempts.records([tracked.attempt])
        assert record is not None
        assert record.extra["sent"] == "1"
        impatient.close()


@pytest.mark.parametrize(
    ("retention", "visibility", "expected"),
    [("86400", "86400", 86400), ("600", "7200", 7200 + 3600), ("100000", "7200", 100000)],
)
def test_records_are_kept_longer_than_a_message_may_be_delivered_again(
    caplog: pytest.LogCaptureFixture, retention: str, visibility: str, expected: int
) -> None:
    conf = DictConfig(
        {
            "hybrid_executor": {"redis_url": "redis://r:6379/0", "record_retention": retention, "routes": "*=celery"},
            "celery": {"broker_url": "redis://r:6379/0"},
            "celery_broker_transport_options": {"visibility_timeout": visibility},
        }
    )
    with caplog.at_level(logging.WARNING):
        assert read_settings(conf).record_retention_seconds == expected
        assert read_deployment(conf).record_retention_seconds == expected
    assert ("visibility_timeout = 7200" in caplog.text) == (retention == "600")
