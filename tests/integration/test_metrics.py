"""The numbers of schedulers, as a real StatsD server and a real OpenTelemetry collector get them."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store
from tests.integration.conftest import QUEUE_OF_PODS, make_task, queue, repaired
from tests.integration.test_owner_repairs import rows_of
from tests.otlp_receiver import OtlpReceiver
from tests.statsd_listener import StatsdListener, check_against_the_table, names_of
from tests.waiting import wait_until

MakeExecutor = Callable[..., Any]
MakeRow = Callable[..., Any]
# Airflow never closes the socket of its StatsD client.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
def statsd() -> Iterator[StatsdListener]:
    from hybrid_executor.metrics import airflow_stats

    with StatsdListener() as listener:
        yield listener
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AIRFLOW__METRICS__STATSD_ON", "False")
            airflow_stats._initialize(airflow_stats._find_stats())
        gc.collect()


def advance(store: Store, attempt: AttemptId, to: State, **fields: str) -> None:
    assert store.attempts.advance(Change(attempt=attempt, to=to, fields=fields)).is_granted


def test_every_metric_of_schedulers_is_sent_as_the_table_says(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, statsd: StatsdListener
) -> None:
    routes = f"moving = celery(max=3, wait=5s) > kubernetes, {QUEUE_OF_PODS} = kubernetes, * = celery"
    options = {**statsd.options(), "hybrid_executor__routes": routes, "hybrid_executor__fair_share": "moving=3"}
    executor = make_executor(**options)
    done, lost, unseen = (
        make_row("done"),
        make_row("lost", state="running", heard=timedelta(hours=1)),
        make_row("unseen"),
    )
    attempts = queue(
        executor, done, lost, unseen, make_row("bad", queue=QUEUE_OF_PODS, executor_config={"pod_override": 1})
    )
    executor.heartbeat()
    for attempt in attempts[:3]:
        store.attempts.claim(attempt, worker="w")
    advance(store, attempts[0], State.SUCCEEDED)
    executor.heartbeat()
    # An end whose event is missed; a worker that is gone; an attempt of another scheduler; a refusal of Redis.
    advance(store, attempts[2], State.FAILED)
    store.client.xtrim(store.keys.events, maxlen=0)
    executor.clock.advance(executor.settings.worker_lost_after_seconds)
    repaired(executor)
    queue(executor, make_row("moves", queue="moving"))
    executor.heartbeat()
    executor.clock.advance(6)
    executor.heartbeat()
    other = make_executor(job_id=2, **options)
    waiting = make_row("waiting")
    queue(other, waiting)
    other.heartbeat()
    executor.try_adopt_task_instances(rows_of(waiting))
    _announce(store)
    executor.clock.advance(60)
    _refuse_once(executor, store)
    wait_until(lambda: _beat(executor) and names_of("scheduler", "all") <= statsd.names(), what="all metrics")

    check_against_the_table(statsd.samples)
    celery = {"pool": "celery", "queue": "default"}
    wait_until(lambda: _beat(executor) and statsd.last("queue.depth", **celery) == 1, what="the depth of the queue")
    assert statsd.total("attempts.submitted", **celery) == 4
    assert statsd.total("attempts.started", **celery) == 3
    assert statsd.total("attempts.finished", state="succeeded", **celery) == 1
    assert statsd.total("attempts.finished", state="failed", **celery) == 2
    assert len(statsd.of("attempts.queued_time", **celery)) == 3
    assert statsd.total("attempts.moved", target="kubernetes", queue="moving", reason="wait") == 1
    on_pods = {"route": "moving", "target": "kubernetes"}
    wait_until(lambda: _beat(executor) and statsd.last("target.used", **on_pods) == 1, what="what has moved")
    assert statsd.last("target.limit", route="moving", target="celery") == 3
    assert statsd.last("queue.share", queue="moving") == 3
    assert statsd.total("attempts.rejected") == 1
    assert statsd.total("attempts.adopted") == 1
    assert statsd.total("attempts.repaired", repair="failed_lost") == 1
    assert statsd.total("slots.healed", pool="celery") == 1
    assert statsd.total("redis.errors", role="scheduler", code="OOM") >= 1
    assert (statsd.last("workers.alive"), statsd.last("agents.alive")) == (2, 1)
    assert (statsd.last("queue.workers", queue="default"), statsd.last("queue.slots", queue="default")) == (1, 8)
    assert statsd.last("launches.waiting", cluster="default", kube_namespace="etl", reason="quota") == 5


def _announce(store: Store) -> None:
    """Announce two workers, one of which is draining, and an agent whose pods wait for a quota."""
    fields = {"queues": "default", "concurrency": "8", "running": "[]", "held": "[]"}
    store.presence.announce("worker", "a", {**fields, "state": "running"}, seconds=600)
    store.presence.announce("worker", "b", {**fields, "state": "draining"}, seconds=600)
    waiting = {"default": {"etl": {"quota": 5}}}
    store.presence.announce("agent", "c", {"clusters": "default", "waiting": json.dumps(waiting)}, seconds=600)


def _beat(executor: Any) -> bool:
    executor.clock.advance(15)
    executor.heartbeat()
    return True


def _refuse_once(executor: Any, store: Store) -> None:
    store.client.config_set("maxmemory", "1")
    try:
        queue(executor, make_task("refused", queue=QUEUE_OF_PODS))
        executor.heartbeat()
    finally:
        store.client.config_set("maxmemory", "0")


def test_a_queue_that_is_empty_again_is_told_once(
    make_executor: MakeExecutor, store: Store, statsd: StatsdListener
) -> None:
    executor = make_executor(**statsd.options())
    [attempt] = queue(executor, make_task())
    executor.heartbeat()
    wait_until(lambda: _beat(executor) and statsd.last("queue.depth", queue="default") == 1, what="a depth of 1")
    store.attempts.claim(attempt, worker="w")
    wait_until(lambda: _beat(executor) and statsd.last("queue.running", queue="default") == 1, what="one that runs")
    assert statsd.last("queue.depth", queue="default") == 0
    advance(store, attempt, State.SUCCEEDED)
    wait_until(lambda: _beat(executor) and statsd.last("queue.running", queue="default") == 0, what="none")
    count = len(statsd.of("queue.running"))
    _beat(executor)
    assert len(statsd.of("queue.running")) == count


def test_of_several_schedulers_one_counts_for_all(
    make_executor: MakeExecutor, store: Store, statsd: StatsdListener
) -> None:
    first = make_executor(job_id=1, **statsd.options())
    second = make_executor(job_id=2, **statsd.options())
    queue(first, make_task("a"))
    queue(second, make_task("b"))
    first.heartbeat()
    second.heartbeat()
    wait_until(
        lambda: _beat(first) and _beat(second) and statsd.last("queue.depth", queue="default") == 2,
        what="both attempts",
    )
    before = len(statsd.of("workers.alive"))
    for _ in range(3):
        _beat(second)
    assert len(statsd.of("workers.alive")) == before
    wait_until(lambda: _beat(first) and len(statsd.of("workers.alive")) > before, what="the first to count")


def test_a_large_queue_is_counted_in_pages_and_no_heartbeat_reads_more_than_one(
    make_executor: MakeExecutor, store: Store, statsd: StatsdListener
) -> None:
    executor = make_executor(core__parallelism="5000", hybrid_executor__celery_parallelism="5000", **statsd.options())
    executor.parallelism = 5000
    queue(executor, *(make_task(f"t{index}") for index in range(1800)))
    executor.heartbeat()
    executor.heartbeat()

    def hmgets() -> int:
        return int(store.client.info("commandstats").get("cmdstat_hmget", {}).get("calls", 0))

    most = 0
    for _ in range(40):
        before = hmgets()
        executor.clock.advance(1)
        executor.heartbeat()
        most = max(most, hmgets() - before)
        if statsd.last("queue.depth", queue="default") == 1800:
            break
    assert statsd.last("queue.depth", queue="default") == 1800
    assert 0 < most < 1500


def test_without_tags_their_values_are_parts_of_the_name(
    make_executor: MakeExecutor, store: Store, statsd: StatsdListener
) -> None:
    executor = make_executor(**statsd.options(has_tags=False))
    queue(executor, make_task())
    executor.heartbeat()
    wait_until(lambda: "hybrid_executor.attempts.submitted.celery.default" in statsd.names(), what="the counter")


def test_a_backend_that_cannot_be_made_keeps_no_task_waiting(
    make_executor: MakeExecutor, store: Store, statsd: StatsdListener
) -> None:
    options = {**statsd.options(), "metrics__statsd_port": "no-number"}
    executor = make_executor(**options)
    [attempt] = queue(executor, make_task())
    executor.heartbeat()
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert record.state is State.SUBMITTED


def test_nothing_is_sent_and_no_lease_is_taken_where_metrics_are_off(
    make_executor: MakeExecutor, store: Store, statsd: StatsdListener
) -> None:
    executor = make_executor(**{**statsd.options(), "metrics__statsd_on": "False"})
    queue(executor, make_task())
    for _ in range(3):
        _beat(executor)
    assert statsd.samples == []
    assert not store.client.exists(store.keys.lease("metrics"))


def test_opentelemetry_gets_the_same_names_and_tags(
    make_executor: MakeExecutor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow._shared.observability.metrics import otel_logger

    with OtlpReceiver() as receiver:
        for name, value in receiver.environment().items():
            monkeypatch.setenv(name, value)
        executor = make_executor(metrics__otel_on="True")
        [attempt] = queue(executor, make_task())
        executor.heartbeat()
        store.attempts.claim(attempt, worker="w")
        executor.heartbeat()
        tags = {"pool": "celery", "queue": "default"}
        wait_until(lambda: _beat(executor) and "queue.running" in receiver.names(), what="all kinds of metrics")
        receiver.flush()
        kinds = {name: receiver.kind(name) for name in ("attempts.started", "queue.running", "attempts.queued_time")}
        assert kinds == {
            "attempts.started": "sum",
            "queue.running": "gauge",
            # Airflow 3.2 keeps the last value of a timer only.
            "attempts.queued_time": "exponential_histogram" if hasattr(otel_logger, "InternalHistogram") else "gauge",
        }
        assert receiver.tags("attempts.started") == receiver.tags("queue.running") == [tags]
        known = {name.removeprefix("hybrid_executor.") for name in names_of("scheduler", "agent", "worker", "all")}
        assert receiver.names() <= known
