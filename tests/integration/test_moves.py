"""Attempts that go on to the next target of their route, on a real Redis and with Airflow's database."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast
from unittest.mock import Mock

import pytest
import redis

from hybrid_executor import compat
from hybrid_executor.agent.removal import PodRemover
from hybrid_executor.agent.watch.log_tails import LogTails
from hybrid_executor.agent.watch.recording import PodRecorder
from hybrid_executor.agent.watch.relist import missing
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Record, RedisSettings, Store, open_store
from tests.contract.test_store_places import moved, on_celery
from tests.integration.conftest import make_task, queue, repaired
from tests.integration.test_owner_repairs import rows_of
from tests.integration.workers.near_side import callback_json
from tests.waiting import wait_until

MakeExecutor = Callable[..., Any]
MakeRow = Callable[..., Any]
CHAIN = "etl-*=celery(max=2, wait=20s) > kubernetes, reports=celery(served) > kubernetes, *=celery"


def started(make_executor: MakeExecutor, routes: str = CHAIN, **options: Any) -> Any:
    return make_executor(hybrid_executor__routes=routes, **options)


def beat(executor: Any, *, seconds: float = 1.0) -> None:
    executor.clock.advance(seconds)
    executor.heartbeat()
    executor.clock.advance(1.0)
    executor.heartbeat()


def record_of(store: Store, attempt: AttemptId) -> Record:
    [record] = store.attempts.records([attempt])
    assert record is not None
    return record


def give_pod(store: Store, attempt: AttemptId, *, generation: int = 1) -> None:
    """Do what an agent does that has created the pod of an attempt."""
    place: dict[str, str | int] = {"pod": "p", "namespace": "n"}
    store.attempts.advance(Change(attempt=attempt, to=State.PENDING, generation=generation, fields=place))


def targets(store: Store, attempts: list[AttemptId]) -> Counter[str]:
    return Counter(record.target for record in store.attempts.records(attempts) if record is not None)


def serve(store: Store, *queues: str) -> None:
    store.presence.announce("worker", "w", {"queues": ",".join(queues), "state": "running"}, seconds=60)


def test_what_finds_no_place_goes_to_the_next_target(make_executor: MakeExecutor, store: Store) -> None:
    executor = started(make_executor)
    attempts = queue(executor, *(make_task(str(number), queue="etl-1") for number in range(5)))
    executor.heartbeat()
    assert targets(store, attempts) == {"celery": 2, "kubernetes": 3}
    assert executor.slots_available == 64 - 5
    assert store.places.counts(["etl-*>celery", "etl-*>kubernetes"]) == {"etl-*>celery": 2, "etl-*>kubernetes": 3}


def test_while_every_target_is_full_work_waits_and_holds_up_nobody(make_executor: MakeExecutor, store: Store) -> None:
    executor = started(make_executor, "etl-*=celery(max=1) > kubernetes(max=1), *=celery")
    attempts = queue(executor, *(make_task(str(number), queue="etl-1") for number in range(40)))
    [other] = queue(executor, make_task("other"))
    executor.heartbeat()
    assert targets(store, attempts) == {"celery": 1, "kubernetes": 1}
    assert record_of(store, other).target == "celery"
    assert executor.slots_available == 64 - 3
    on_worker = next(a for a in attempts if store.attempts.records([a])[0] is not None)
    store.attempts.revoke([on_worker], reason="r")
    executor.heartbeat()
    assert sum(targets(store, attempts).values()) == 3


def test_one_that_waits_too_long_moves_and_starts_only_there(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str
) -> None:
    executor = started(make_executor)
    workload = make_row(queue="etl-1")
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    beat(executor, seconds=10)
    assert record_of(store, attempt).target == "celery"
    beat(executor, seconds=10)
    record = record_of(store, attempt)
    assert (record.state, record.target, record.moves, record.moved_because) == (
        State.SUBMITTED,
        "kubernetes",
        1,
        "wait",
    )
    assert not store.attempts.claim(attempt, worker="w", sent_generation=1).is_granted
    stream = store.launches("default", consumer="agent")
    stream.prepare()
    assert [(e.op, e.generation) for e in stream.take(count=9, wait_milliseconds=0)] == [("launch", 2)]
    assert executor.running == {workload.ti.key}
    store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED, generation=2))
    executor.heartbeat()
    [(state, _)] = executor.get_event_buffer().values()
    assert state.value == "success"
    assert store.places.counts(["etl-*>celery", "etl-*>kubernetes"]) == {"etl-*>celery": 0, "etl-*>kubernetes": 0}
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("etl-1") == 1  # the worker that takes it drops it, or the next repair does


def test_messages_that_are_left_behind_do_not_pile_up_while_no_worker_runs(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = started(make_executor, "etl-*=celery(wait=20s) > kubernetes(max=450), *=celery")
    strange = ["no JSON", '{"headers": 5}', '{"headers": {"id": "nobody knows it"}}']
    store.client.lpush("etl-1", *strange)
    attempts = queue(executor, *(make_row(str(number), queue="etl-1") for number in range(25)))
    executor.heartbeat()
    assert store.client.llen("etl-1") == 28
    beat(executor, seconds=30)
    wait_until(lambda: (beat(executor), targets(store, attempts))[1] == {"kubernetes": 25}, what="all have moved")
    assert store.client.llen("etl-1") == 28
    later = queue(executor, *(make_row(f"later-{number}", queue="etl-1") for number in range(3)))
    beat(executor, seconds=executor.settings.repair_interval_seconds - 1)
    wait_until(lambda: (beat(executor, seconds=0.1), store.client.llen("etl-1"))[1] == 6, what="the messages are gone")
    assert sorted(store.client.lrange("etl-1", -3, -1)) == sorted(strange), "what nobody knows stays"
    assert targets(store, later) == {"celery": 3}
    for attempt in later:
        assert store.attempts.claim(attempt, worker="w", sent_generation=1).is_granted


def test_a_callback_and_a_connection_test_do_not_wait_for_a_worker_that_never_comes(
    make_executor: MakeExecutor, store: Store
) -> None:
    """First on a queue whose workers are gone, then on one that never had any."""
    executor = started(make_executor)
    ids = {kind: queue_other(executor, kind, "etl-1") for kind in kinds_of_others()}
    executor.heartbeat()
    placed = {record_of(store, attempt).kind: attempt for attempt in store.attempts.live("celery")}
    assert placed.keys() == ids.keys()
    payloads = {kind: store.attempts.workloads([attempt])[0][1] for kind, attempt in placed.items()}
    beat(executor, seconds=30)
    for kind, attempt in placed.items():
        record, payload, _ = store.attempts.workloads([attempt])[0]
        assert record is not None
        assert (record.target, record.moved_because, record.state) == ("kubernetes", "wait", State.SUBMITTED)
        assert payload == payloads[kind]
        assert not store.attempts.claim(attempt, worker="w", sent_generation=1).is_granted
        store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED, generation=2))
    executor.heartbeat()
    assert {str(state.value) for state, _ in executor.get_event_buffer().values()} == {"success"}
    for kind in ids:
        queue_other(executor, kind, "reports")
    executor.heartbeat()
    waiting = [record_of(store, attempt) for attempt in store.attempts.live("kubernetes")]
    assert {record.kind for record in waiting} == ids.keys()
    assert {record.target for record in waiting} == {"kubernetes"}


def kinds_of_others() -> list[str]:
    """Return what an executor and its pods can run besides tasks in this release of Airflow."""
    return sorted(compat.kinds_in_pods() - {"task"})


def queue_other(executor: Any, kind: str, name: str) -> str:
    """Queue a callback or a connection test; return its id."""
    from airflow.executors import workloads

    made = str(uuid.uuid4())
    if kind == "callback":
        told = json.loads(callback_json(made, {}))
        told["callback"]["data"]["queue"] = name
        workload: Any = workloads.ExecuteCallback.model_validate(told)
    else:
        workload = workloads.TestConnection(
            connection_test_id=made, connection_id="c", timeout=5, queue=name, token="t"
        )
    executor.queue_workload(workload, session=None)
    return made


def test_a_worker_that_claims_first_keeps_the_attempt(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = started(make_executor)
    [attempt] = queue(executor, make_row(queue="etl-1"))
    executor.heartbeat()
    executor.clock.advance(30)
    assert store.attempts.claim(attempt, worker="w", sent_generation=1).is_granted
    executor.heartbeat()
    beat(executor)
    record = record_of(store, attempt)
    assert (record.state, record.target, record.moves) == (State.RUNNING, "celery", 0)


def test_while_the_next_target_is_full_an_attempt_may_still_start_where_it_is(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = started(make_executor, "etl-*=celery(wait=20s) > kubernetes(max=1), *=celery")
    attempts = queue(executor, make_row("a", queue="etl-1"), make_row("b", queue="etl-1"))
    executor.heartbeat()
    beat(executor, seconds=30)
    assert targets(store, attempts) == {"celery": 1, "kubernetes": 1}
    [waiting] = [a for a in attempts if record_of(store, a).target == "celery"]
    assert store.attempts.claim(waiting, worker="w", sent_generation=1).is_granted


def test_an_adopted_attempt_goes_on_with_its_clock(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    first = started(make_executor, job_id=1)
    workload = make_row(queue="etl-1")
    [attempt] = queue(first, workload)
    first.heartbeat()
    key = store.keys.attempt(attempt)
    store.client.hset(key, "placed_at", int(store.client.hget(key, "placed_at")) - 5_000)
    second = started(make_executor, job_id=2)
    assert second.try_adopt_task_instances(rows_of(workload)) == []
    second.heartbeat()
    assert record_of(store, attempt).target == "celery"
    beat(second, seconds=15)
    assert (record_of(store, attempt).target, record_of(store, attempt).owner) == ("kubernetes", "2")


def test_served_lets_work_go_where_somebody_is(make_executor: MakeExecutor, make_row: MakeRow, store: Store) -> None:
    executor = started(make_executor)
    [first] = queue(executor, make_row("first", queue="reports"))
    executor.heartbeat()
    assert record_of(store, first).target == "kubernetes"
    serve(store, "reports")
    executor.clock.advance(3)
    [second] = queue(executor, make_row("second", queue="reports"))
    executor.heartbeat()
    assert record_of(store, second).target == "celery"
    store.presence.withdraw("worker", "w")
    beat(executor, seconds=3)
    assert record_of(store, second).target == "celery"  # it may only be starting again
    beat(executor, seconds=11)
    record = record_of(store, second)
    assert (record.target, record.moved_because) == ("kubernetes", "served")


def test_later_tries_go_to_later_targets(make_executor: MakeExecutor, store: Store) -> None:
    executor = started(make_executor, "etl-*=celery(tries=2) > kubernetes, *=celery")
    attempts = queue(executor, *(make_task(str(number), queue="etl-1", try_number=number) for number in (1, 2, 3)))
    executor.heartbeat()
    assert [record_of(store, attempt).target for attempt in attempts] == ["celery", "celery", "kubernetes"]


def test_a_try_that_loses_its_workers_counts_its_launches(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = started(make_executor, "etl-*=celery(tries=2) > kubernetes, *=celery")
    [attempt] = queue(executor, make_row(queue="etl-1"))
    executor.heartbeat()
    for generation, target in ((1, "celery"), (2, "kubernetes")):
        store.attempts.advance(Change(attempt=attempt, to=State.LOST, generation=generation))
        executor.heartbeat()
        executor.heartbeat()
        assert (record_of(store, attempt).state, record_of(store, attempt).target) == (State.SUBMITTED, target)
    assert record_of(store, attempt).moved_because == "tries"
    assert record_of(store, attempt).launch == 3


def test_an_attempt_with_a_pod_waits_until_the_pod_is_gone(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = started(make_executor, "etl-*=kubernetes(wait=20s) > celery, *=celery")
    [attempt] = queue(executor, make_row(queue="etl-1"))
    executor.heartbeat()
    stream = store.launches("default", consumer="agent")
    stream.prepare()
    stream.take(count=9, wait_milliseconds=0)
    give_pod(store, attempt)
    beat(executor, seconds=30)
    assert [entry.op for entry in stream.take(count=9, wait_milliseconds=0)] == ["withdraw"]
    record = record_of(store, attempt)
    assert (record.state, record.target, record.leaving) == (State.PENDING, "kubernetes", "wait")
    beat(executor)
    assert stream.take(count=9, wait_milliseconds=0) == []
    beat(executor, seconds=10)
    assert [entry.op for entry in stream.take(count=9, wait_milliseconds=0)] == ["withdraw"]
    store.attempts.advance(Change(attempt=attempt, to=State.FAILED, generation=1, may_park=True))
    beat(executor)
    record = record_of(store, attempt)
    assert (record.state, record.target, record.leaving, record.pod) == (State.SUBMITTED, "celery", "", "")
    assert store.attempts.claim(attempt, worker="w", sent_generation=3).is_granted


def test_after_a_loss_of_data_agents_get_the_time_to_find_a_pod_before_its_attempt_moves(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    """It would run on a worker beside its pod."""
    executor = started(make_executor, "etl-*=kubernetes(wait=5s) > celery, *=celery")
    [attempt] = queue(executor, make_row(queue="etl-1"))
    executor.heartbeat()
    give_pod(store, attempt)
    store.client.flushall()
    beat(executor, seconds=3)
    beat(executor, seconds=15)
    record = record_of(store, attempt)
    assert (record.state, record.target, record.moves) == (State.SUBMITTED, "kubernetes", 0)
    beat(executor, seconds=30)
    assert (record_of(store, attempt).target, record_of(store, attempt).moves) == ("celery", 1)


def test_a_task_that_cannot_run_on_the_next_target_waits_where_it_is(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = started(make_executor)
    workload = make_row(queue="etl-1", executor_config={"pod_override": "a string"})
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    beat(executor, seconds=30)
    assert (record_of(store, attempt).target, record_of(store, attempt).state) == ("celery", State.SUBMITTED)
    assert store.attempts.claim(attempt, worker="w", sent_generation=1).is_granted


@pytest.mark.parametrize("is_to_leave", [True, False])
def test_a_pod_that_was_deleted_for_a_move_and_that_nobody_saw_go_is_no_failure(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, is_to_leave: bool
) -> None:
    """No pod may be launched again here. Airflow's database tells that the task has not started."""
    options = {"kubernetes_executor__pod_launch_failure_retries": "0"}
    executor = started(make_executor, "etl-*=kubernetes(wait=20s) > celery, *=celery", **options)
    [attempt] = queue(executor, make_row(queue="etl-1"))
    executor.heartbeat()
    give_pod(store, attempt)
    beat(executor, seconds=30 if is_to_leave else 1)
    recorder = PodRecorder(
        store.attempts,
        settings=replace(KubernetesSettings(), pod_launch_failure_retries=0),
        remover=cast(PodRemover, Mock()),
        log_tails=cast(LogTails, Mock(holds=lambda _: False, ready=lambda **_: [])),
    )
    recorder.record([missing(record_of(store, attempt))])
    beat(executor)
    beat(executor)
    record = record_of(store, attempt)
    if is_to_leave:
        assert (record.state, record.target, record.leaving) == (State.SUBMITTED, "celery", "")
    else:
        assert record.state is State.FAILED


def test_an_attempt_that_airflow_waits_for_no_longer_ends_when_its_last_pod_on_a_target_is_gone(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    """Its task was marked while it waited for its turn: it could not go on, and it waited where it was."""
    executor = started(make_executor, "etl-*=kubernetes(wait=20s, tries=2) > celery, *=celery")
    [attempt] = queue(executor, make_row(queue="etl-1", state="success"))
    executor.heartbeat()
    beat(executor, seconds=30)
    assert (record_of(store, attempt).state, record_of(store, attempt).target) == (State.SUBMITTED, "kubernetes")
    for generation in (1, 2):
        give_pod(store, attempt, generation=generation)
        store.attempts.advance(Change(attempt=attempt, to=State.SUBMITTED, generation=generation, relaunch=True))
    assert record_of(store, attempt).leaving == "tries"
    beat(executor)
    beat(executor)
    assert record_of(store, attempt).state is State.REVOKED
    assert executor.running == set()


def test_redis_may_be_away_in_the_middle_of_a_move(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = started(make_executor)
    [attempt] = queue(executor, make_row(queue="etl-1"))
    executor.heartbeat()
    executor.clock.advance(30)
    client = executor.context.store.client
    sent = client.pipeline

    def lose_the_answer(*args: Any, **kwargs: Any) -> Any:
        pipeline = sent(*args, **kwargs)
        run = pipeline.execute

        def execute(**options: Any) -> Any:
            answers = run(**options)
            if record_of(store, attempt).moves:
                monkeypatch.undo()
                raise redis.ConnectionError("the answer is lost")
            return answers

        pipeline.execute = execute
        return pipeline

    with monkeypatch.context() as patched:
        patched.setattr(client, "pipeline", lose_the_answer)
        executor.heartbeat()
        beat(executor)
    beat(executor, seconds=20)
    beat(executor, seconds=70)
    record = record_of(store, attempt)
    assert (record.target, record.generation, record.moves, record.launches) == ("kubernetes", 2, 1, 0)
    assert executor.context.ledger.get(attempt).target == "kubernetes"
    assert (executor.context.ledger.count("celery"), executor.context.ledger.count("kubernetes")) == (0, 1)


def test_a_move_that_redis_has_lost_is_made_again(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str
) -> None:
    executor = started(make_executor)
    [attempt] = queue(executor, make_row(queue="etl-1"))
    executor.heartbeat()
    key = store.keys.attempt(attempt)
    with redis.Redis.from_url(redis_url) as client:
        before = client.dump(key)
        beat(executor, seconds=20)
        assert record_of(store, attempt).target == "kubernetes"
        client.restore(key, 0, before, replace=True)  # as a replica that was behind has it
        client.delete(store.keys.launch("default"), "etl-1")
    repaired(executor)
    for _ in range(2):  # its message may be sent again before that
        beat(executor, seconds=30)
    record = record_of(store, attempt)
    assert (record.state, record.target, record.moves) == (State.SUBMITTED, "kubernetes", 1)
    stream = store.launches("default", consumer="agent")
    stream.prepare()
    launches = stream.take(count=9, wait_milliseconds=0)
    assert [(entry.op, entry.generation) for entry in launches] == [("launch", record.generation)]


def test_a_limit_holds_over_schedulers_that_submit_and_end_at_the_same_time(redis_url: str) -> None:
    most, seen, refused = 7, [], []
    stop = threading.Event()
    stores = [open_store(RedisSettings(url=redis_url), instance="airflow") for _ in range(4)]
    try:
        threads = [
            threading.Thread(target=_submit_and_end, args=(stores[number], str(number), most, refused))
            for number in range(3)
        ]
        watcher = threading.Thread(target=lambda: _watch(stores[3], seen, stop))
        for thread in (*threads, watcher):
            thread.start()
        for thread in threads:
            thread.join()
        stop.set()
        watcher.join()
        assert max(seen) <= most
        assert refused
        assert stores[0].places.counts(["etl-*>celery"]) == {"etl-*>celery": 0}
    finally:
        for store in stores:
            store.close()


def _submit_and_end(store: Store, owner: str, most: int, refused: list[AttemptId]) -> None:
    waiting = [AttemptId(f"{owner}-{number}") for number in range(60)]
    while waiting:
        batch = [on_celery(attempt, most=most, owner=OwnerId(owner)) for attempt in waiting[:9]]
        answers = store.attempts.submit(batch)
        taken = [a for a, answer in zip(waiting, answers, strict=False) if answer == 1]
        refused += [a for a, answer in zip(waiting, answers, strict=False) if answer != 1]
        store.attempts.revoke(taken, reason="r")
        waiting = [attempt for attempt in waiting if attempt not in taken]


def _watch(store: Store, seen: list[int], stop: threading.Event) -> None:
    while not stop.is_set():
        seen.append(store.places.counts(["etl-*>celery"])["etl-*>celery"])


def test_an_attempt_is_started_once_where_claims_and_moves_race(store: Store, redis_url: str) -> None:
    attempts = [AttemptId(f"a{number}") for number in range(200)]
    store.attempts.submit([on_celery(attempt) for attempt in attempts])
    other = open_store(RedisSettings(url=redis_url), instance="airflow")
    claimed: list[AttemptId] = []

    def claim() -> None:
        for attempt in reversed(attempts):
            if other.attempts.claim(attempt, worker="w", sent_generation=1).is_granted:
                claimed.append(attempt)

    try:
        thread = threading.Thread(target=claim)
        thread.start()
        gone = [a for a in attempts if store.attempts.submit([moved(a)]) == [2]]
        thread.join()
    finally:
        other.close()
    assert sorted((*gone, *claimed)) == sorted(attempts)
    assert all(record_of(store, a).pool == "kubernetes" for a in gone)
    assert all(record_of(store, a).state is State.RUNNING for a in claimed)
