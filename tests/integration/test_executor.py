"""The executor as the scheduler drives it, on a real Redis. No worker and no agent runs: the tests play their parts."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis

from hybrid_executor import compat
from hybrid_executor.errors import ConfigError, StoreRefused
from hybrid_executor.events import AttemptId
from hybrid_executor.executor import KubernetesExecutor
from hybrid_executor.states import State
from hybrid_executor.store import Attempts, Change, Store
from tests.integration.conftest import QUEUE_OF_PODS, as_task_instance, make_task, queue, unanswered

MakeExecutor = Callable[..., Any]


def messages(redis_url: str, name: str = "default") -> int:
    with redis.Redis.from_url(redis_url) as client:
        return int(client.llen(name))


def test_a_task_goes_where_its_queue_is_routed(make_executor: MakeExecutor, store: Store, redis_url: str) -> None:
    executor = make_executor()
    on_worker, in_pod = queue(executor, make_task("a"), make_task("b", queue=QUEUE_OF_PODS))
    executor.heartbeat()
    records = store.attempts.records([on_worker, in_pod])
    assert [(r.pool, r.state, r.queue) for r in records if r] == [
        ("celery", State.SUBMITTED, "default"),
        ("kubernetes", State.SUBMITTED, "kubernetes"),
    ]
    assert messages(redis_url) == 1
    assert [entry.attempt for entry in launches(store)] == [in_pod]


def launches(store: Store) -> list[Any]:
    stream = store.launches("default", consumer="test")
    stream.prepare()
    return stream.take(count=100, wait_milliseconds=10)


def test_a_record_holds_what_people_look_for_and_no_token(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_task("t", map_index=3, try_number=2))
    executor.heartbeat()
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert record.name == "dag.t[3] run try 2"
    assert record.owner == "1"
    assert "a-secret-token" not in repr(store.client.hgetall(store.keys.attempt(attempt)))
    assert "a-secret-token" in store.client.get(store.keys.payload(attempt))
    assert store.client.ttl(store.keys.payload(attempt)) > 0


def test_success_frees_the_slot_and_is_told_once(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor()
    workload = make_task()
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    assert executor.slots_occupied == 0
    assert executor.running == {workload.ti.key}
    store.attempts.claim(attempt, worker="w")
    store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED))
    executor.heartbeat()
    assert {key: str(state.value) for key, (state, _) in executor.get_event_buffer().items()} == {
        workload.ti.key: "success"
    }
    executor.heartbeat()
    assert executor.get_event_buffer() == {}
    assert executor.running == set()


def test_a_pod_that_exits_with_0_before_its_task_started_is_named(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor()
    workload = make_task(queue=QUEUE_OF_PODS)
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED, fields={"holder": "pod-1"}))
    executor.heartbeat()
    state, info = executor.get_event_buffer()[workload.ti.key]
    assert state.value == "success"
    assert info.startswith("The attempt on pod-1 ended with exit code 0, but its task never reported its end: it was")


def test_a_failure_carries_its_reason_to_airflow_and_to_the_task_event_log(
    make_executor: MakeExecutor, store: Store
) -> None:
    executor = make_executor()
    workload = make_task(queue=QUEUE_OF_PODS)
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.FAILED, fields={"reason": "OOMKilled on node n1"}))
    executor.heartbeat()
    state, info = executor.get_event_buffer()[workload.ti.key]
    assert (state.value, info) == ("failed", "OOMKilled on node n1")
    assert [entry.extra for entry in executor._task_event_logs] == ["OOMKilled on node n1"]


def test_an_event_of_an_old_attempt_does_not_touch_its_successor(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor()
    first = make_task()
    [old] = queue(executor, first)
    executor.heartbeat()
    store.attempts.claim(old, worker="w")
    second = make_task(id=first.ti.id)
    [new] = queue(executor, second)
    executor.heartbeat()
    store.attempts.advance(Change(attempt=old, to=State.FAILED, fields={"reason": "late"}))
    executor.heartbeat()
    assert executor.get_event_buffer() == {}
    assert executor.running == {second.ti.key}
    [record] = store.attempts.records([new])
    assert record is not None
    assert record.state is State.SUBMITTED


def test_an_event_from_before_an_attempt_was_launched_again_does_not_touch_it(
    make_executor: MakeExecutor, store: Store
) -> None:
    executor = make_executor()
    workload = make_task()
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.attempts.claim(attempt, worker="worker")
    executor.heartbeat()
    late = {"attempt": attempt, "state": "failed", "generation": "1", "owner": "1", "pool": "celery", "reason": "late"}
    store.client.xadd(store.keys.events, late)
    executor.heartbeat()
    assert executor.get_event_buffer() == {}
    assert executor.running == {workload.ti.key}


def test_the_forerunner_of_a_resumed_task_ends_by_itself(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor()
    first = make_task()
    [old] = queue(executor, first)
    executor.heartbeat()
    store.attempts.claim(old, worker="w")
    executor.heartbeat()
    queue(executor, make_task(id=first.ti.id))
    executor.heartbeat()
    executor.heartbeat()
    assert executor.slots_available == 62
    assert store.attempts.advance(Change(attempt=old, to=State.SUCCEEDED)).is_granted
    executor.heartbeat()
    assert executor.get_event_buffer() == {}
    assert executor.slots_available == 63


def test_a_forerunner_that_has_not_started_never_will(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor()
    first = make_task()
    [old] = queue(executor, first)
    executor.heartbeat()
    queue(executor, make_task(id=first.ti.id))
    executor.heartbeat()
    executor.heartbeat()
    assert not store.attempts.claim(old, worker="w").is_granted


def test_a_task_without_a_pre_assigned_id_gets_one_and_airflow_is_told(
    make_executor: MakeExecutor, store: Store
) -> None:
    executor = make_executor()
    workload = make_task(attempt="")
    queue(executor, workload)
    executor.heartbeat()
    state, info = executor.get_event_buffer()[workload.ti.key]
    assert state.value == "queued"
    assert store.attempts.records([AttemptId(info)])[0] is not None


def test_an_unusable_executor_config_fails_its_task_alone(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor()
    bad = make_task("bad", queue=QUEUE_OF_PODS, executor_config={"pod_override": "a string"})
    good = make_task("good", queue=QUEUE_OF_PODS)
    _, attempt = queue(executor, bad, good)
    executor.heartbeat()
    events = executor.get_event_buffer()
    assert [key.task_id for key in events] == ["bad"]
    state, info = events[bad.ti.key]
    assert state.value == "failed"
    assert "pod_override" in info
    assert store.attempts.records([attempt])[0] is not None
    assert executor.running == {good.ti.key}


def test_a_full_pool_leaves_the_other_its_slots(make_executor: MakeExecutor, redis_url: str) -> None:
    executor = make_executor(hybrid_executor__kubernetes_parallelism="2", hybrid_executor__celery_parallelism="3")
    assert executor.slots_available == 5
    queue(executor, *[make_task(f"pod{i}", queue=QUEUE_OF_PODS) for i in range(10)])
    assert executor.slots_available == 3
    executor.heartbeat()
    assert len(executor.running) == 2
    queue(executor, *[make_task(f"w{i}") for i in range(2)])
    executor.heartbeat()
    assert len(executor.running) == 4
    assert executor.slots_available == 1
    assert messages(redis_url) == 2


def test_the_highest_priority_goes_first(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor(hybrid_executor__celery_parallelism="1")
    low, high = queue(executor, make_task("low", priority_weight=1), make_task("high", priority_weight=5))
    executor.heartbeat()
    assert store.attempts.records([high])[0] is not None
    assert store.attempts.records([low])[0] is None


def test_the_few_tasks_of_a_queue_do_not_wait_for_the_thousands_of_another(
    make_executor: MakeExecutor, store: Store
) -> None:
    executor = make_executor(hybrid_executor__celery_parallelism="10")
    queue(executor, *[make_task(f"big{i}", queue="big", priority_weight=9) for i in range(2000)])
    executor.heartbeat()
    small = queue(executor, *[make_task(f"small{i}", queue="small") for i in range(2)])
    for attempt in list(store.attempts.live("celery"))[:3]:
        store.attempts.claim(attempt, worker="w")
        store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED))
    executor.heartbeat()
    executor.heartbeat()
    assert all(store.attempts.records(small))
    assert len(executor.running) == 10


def test_scarce_slots_are_given_by_the_shares_of_queues(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor(
        hybrid_executor__celery_parallelism="12", hybrid_executor__fair_share="reports=3, etl-*=1, *=1"
    )
    queue(executor, *[make_task(f"etl{i}", queue="etl-1", priority_weight=9) for i in range(50)])
    queue(executor, *[make_task(f"report{i}", queue="reports") for i in range(50)])
    executor.heartbeat()
    records = store.attempts.records(sorted(store.attempts.live("celery")))
    assert Counter(record.queue for record in records if record) == {"reports": 9, "etl-1": 3}


def test_with_redis_away_heartbeats_return_and_work_stays_queued(
    make_executor: MakeExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    executor = make_executor(hybrid_executor__redis_url="redis://127.0.0.1:1/0")
    workload = make_task()
    queue(executor, workload)
    for _ in range(5):
        executor.heartbeat()
    assert [key for key, _ in compat.queued_workloads(executor)] == [workload.ti.key]
    assert executor.get_event_buffer() == {}
    assert len([record for record in caplog.records if "Redis unavailable" in record.getMessage()]) == 1


def test_revoked_tasks_never_start(make_executor: MakeExecutor, store: Store, redis_url: str) -> None:
    executor = make_executor()
    workload = make_task()
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    executor.revoke_task(ti=as_task_instance(workload))
    assert messages(redis_url) == 0
    assert not store.attempts.claim(attempt, worker="w").is_granted
    executor.heartbeat()
    assert executor.get_event_buffer() == {}
    assert executor.running == set()


def test_a_task_that_airflow_ends_is_revoked(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor()
    workload = make_task()
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    executor.change_state(workload.ti.key, "failed")
    executor.heartbeat()
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert record.state is State.REVOKED


def test_a_revocation_that_redis_refuses_is_made_later(
    make_executor: MakeExecutor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = make_executor(hybrid_executor__repair_interval="3600")
    workload = make_task()
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    executor.change_state(workload.ti.key, "failed")
    with monkeypatch.context() as patch:
        patch.setattr(Attempts, "revoke", refused)
        executor.heartbeat()
    executor.clock.advance(2)
    executor.heartbeat()
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert record.state is State.REVOKED


def refused(*_: Any, **__: Any) -> None:
    raise StoreRefused("Redis refuses writes", code="OOM")


def test_slots_heal_when_an_event_was_missed(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor(hybrid_executor__repair_interval="1")
    workload = make_task()
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.FAILED, fields={"reason": "why"}))
    store.client.xtrim(store.keys.events, maxlen=0)
    executor.clock.advance(1)
    executor.heartbeat()
    assert executor.get_event_buffer()[workload.ti.key][1] == "why"
    assert executor.running == set()


def test_an_attempt_that_ended_before_its_submission_was_answered_is_told(
    make_executor: MakeExecutor, store: Store
) -> None:
    unanswered = make_executor(job_id=7)
    workload = make_task(queue=QUEUE_OF_PODS)
    [attempt] = queue(unanswered, workload)
    unanswered.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.FAILED, fields={"reason": "why"}))
    again = make_executor(job_id=7)  # sees no events from before
    queue(again, workload)
    again.heartbeat()
    again.heartbeat()
    assert again.get_event_buffer()[workload.ti.key][1] == "why"
    assert again.running == set()


def test_an_attempt_that_ended_before_its_submission_was_answered_is_told_without_a_timed_repair(
    make_executor: MakeExecutor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = make_executor()
    executor.heartbeat()  # the timed repairs
    workload = make_task(queue=QUEUE_OF_PODS)
    [attempt] = queue(executor, workload)
    with monkeypatch.context() as patch:
        patch.setattr(Attempts, "submit", unanswered(Attempts.submit))
        executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.FAILED, fields={"reason": "why"}))
    executor.clock.advance(2)
    executor.sync()  # reads the events while the workload waits to be submitted once more
    executor.heartbeat()
    executor.heartbeat()
    assert executor.get_event_buffer()[workload.ti.key][1] == "why"
    assert executor.running == set()


def test_lost_data_is_recorded_again(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor()
    workload = make_task()
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.attempts.claim(attempt, worker="w")
    executor.heartbeat()
    store.client.flushall()
    executor.heartbeat()
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert (record.state, record.holder, record.task_id) == (State.RUNNING, "w", "task")
    assert executor.running == {workload.ti.key}


def test_the_constructor_touches_nothing(make_executor: MakeExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW__HYBRID_EXECUTOR__REDIS_URL")
    monkeypatch.delenv("AIRFLOW__CELERY__BROKER_URL")
    executor = make_executor(start=False)
    assert executor.slots_available == 64
    with pytest.raises(ConfigError, match=r"redis_url.*standalone"):
        executor.start()


def test_a_wrong_redis_password_is_told_at_start(make_executor: MakeExecutor, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as admin:
        admin.config_set("requirepass", "right")
    wrong = redis_url.replace("redis://", "redis://:wrong@")
    try:
        with pytest.raises(ConfigError, match=r"user or password.*redis_url"):
            make_executor(hybrid_executor__redis_url=wrong)
    finally:
        with redis.Redis.from_url(redis_url, password="right") as admin:
            admin.config_set("requirepass", "")


def test_an_unknown_pool_in_a_route_is_told_at_start(make_executor: MakeExecutor) -> None:
    with pytest.raises(ConfigError, match=r"'ecs'.*celery, kubernetes, local"):
        make_executor(hybrid_executor__routes="a=ecs, *=celery")


def test_the_kubernetes_executor_sends_every_queue_to_pods(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor(cls=KubernetesExecutor)
    attempts = queue(executor, make_task("a"), make_task("b", queue="whatever"))
    executor.heartbeat()
    assert [record.pool for record in store.attempts.records(attempts) if record] == ["kubernetes", "kubernetes"]


def test_execute_async_submits_one_workload(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor()
    workload = make_task()
    executor.execute_async(workload.ti.key, [workload], queue=QUEUE_OF_PODS, executor_config={})
    [record] = store.attempts.records([AttemptId(workload.ti.external_executor_id)])
    assert record is not None
    assert (record.pool, record.queue) == ("kubernetes", "kubernetes")


def test_a_callback_is_accepted_and_reported(make_executor: MakeExecutor, store: Store, redis_url: str) -> None:
    from airflow.executors.workloads import BundleInfo, ExecuteCallback
    from airflow.executors.workloads.callback import CallbackDTO

    executor = make_executor()
    workload = ExecuteCallback(
        callback=CallbackDTO(
            id=str(uuid.uuid4()), fetch_method="import_path", data={"path": "a.b", "queue": "default"}
        ),
        dag_rel_path="dag.py",
        bundle_info=BundleInfo(name="dags"),
        log_path="log",
        token="token",
    )
    executor.queue_workload(workload, session=None)
    executor.heartbeat()
    [attempt] = store.attempts.live("celery")
    store.attempts.claim(attempt, worker="w")
    executor.heartbeat()
    assert [state.value for state, _ in executor.get_event_buffer().values()] == ["running"]
    store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED))
    executor.heartbeat()
    assert [state.value for state, _ in executor.get_event_buffer().values()] == ["success"]
    assert messages(redis_url) == 1
