"""The simulated Redis answers as a real one does to everything that schedulers and workers ask."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from redis.exceptions import ReadOnlyError

from hybrid_executor.errors import StoreRefused
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import (
    Change,
    LaunchEntry,
    LaunchStream,
    Order,
    Placement,
    RedisSettings,
    Renewal,
    Restoration,
    Store,
    Submission,
    Waiter,
    Wish,
    open_store,
)
from tests.simulation.redis_client import SimulatedRedis
from tests.simulation.redis_server import RedisServer

_ATTEMPTS = [AttemptId(name) for name in "abc"]
_OWNERS = [OwnerId("1"), OwnerId("2")]


@pytest.fixture
def stores(redis_url: str) -> Iterator[tuple[Store, Store]]:
    """A store on a real server, and one on the simulated one."""
    real = open_store(RedisSettings(url=redis_url), instance="test")
    yield real, Store(SimulatedRedis.connect(RedisServer(time.time).run), instance="test")
    real.client.flushall()
    real.close()


def _operation(rng: random.Random) -> tuple[str, Callable[[Store], Any]]:
    attempt, owner, state = rng.choice(_ATTEMPTS), rng.choice(_OWNERS), rng.choice(list(State)[:8])
    generation, number = rng.choice((None, 0, 1, 2, 3)), rng.randint(0, 3)
    token = rng.choice(("", "1-x", "2-y"))
    submission = Submission(
        attempt=attempt,
        owner=owner,
        pool="celery",
        fields={"queue": "q", "map_index": -1},
        payload="secret",
        expected_generation=number,
        queue_key="q",
        message=json.dumps(
            {"of": f"message of {attempt}", "headers": {"id": attempt, "hybrid": {"generation": number}}}
        ),
    )
    launch = Submission(
        attempt=attempt,
        owner=owner,
        pool="kubernetes",
        fields={"cluster": "c"},
        payload="secret",
        expected_generation=number,
        cluster="c",
    )
    agent = rng.choice(("agent1", "agent2"))
    restoration = Restoration(
        attempt=attempt, owner=owner, pool="celery", state=State.RUNNING, generation=number, fields={"holder": "w"},
        replaces_older=rng.random() < 0.5,
    )  # fmt: skip
    change = Change(
        attempt=attempt, to=state, generation=generation, raises_generation=rng.random() < 0.3, fields={"reason": "why"}
    )
    limited = Placement(route="r", most=2, because="wait", only_waits=rng.random() < 0.5)
    all_operations: dict[str, Callable[[Store], Any]] = {
        "submit": lambda s: s.attempts.submit([submission]),
        "submit to a target": lambda s: s.attempts.submit(
            [replace(item, placement=limited) for item in (submission, launch)]
        ),
        "places": lambda s: s.places.counts(["r>celery", "r>kubernetes"]),
        "repair places": lambda s: (s.places.sweep([("r", "celery")], starts={}), s.places.recount(owner)),
        "leave": lambda s: s.places.leave({attempt: number}, because="wait"),
        "claim": lambda s: s.attempts.claim(attempt, worker="w", token=token, owner=owner, fields={"queue": "q"}),
        "advance": lambda s: s.attempts.advance(change),
        "adopt": lambda s: [_timeless(record) for record in s.attempts.adopt([attempt], owner=owner)],
        "restore": lambda s: s.attempts.restore([restoration]),
        "revoke": lambda s: s.attempts.revoke([attempt], reason="away"),
        "annotate": lambda s: s.attempts.annotate({attempt: {"note": "waits"}}),
        "forget": lambda s: s.attempts.forget_ended(_ATTEMPTS, owner=owner),
        "sweep": lambda s: s.attempts.sweep("celery"),
        "records": lambda s: [_timeless(record) for record in s.attempts.records(_ATTEMPTS)],
        "workload": lambda s: [(_timeless(found[0]), *found[1:]) for found in s.attempts.workloads(_ATTEMPTS)],
        "sets": lambda s: (s.attempts.owned_by(owner), s.attempts.live("celery")),
        "next message": lambda s: s.broker_lists.next_message("q"),
        "remove message": lambda s: s.broker_lists.remove_message("q", submission.message),
        "drop left messages": lambda s: s.broker_lists.drop_left("q", pool="celery", skip=number, count=2),
        "lengths": lambda s: (s.broker_lists.lengths(["q", "none"]), s.broker_lists.any_waiting(["q"])),
        "take a message": lambda s: s.client.rpop("q"),
        "give a message back": lambda s: s.client.rpush("q", "back"),
        "announce": lambda s: s.presence.announce("worker", "w", {"running": f'["{attempt}"]'}, seconds=30),
        "in hand": lambda s: (s.presence.in_hand(), s.presence.fields("worker", "w")),
        "withdraw": lambda s: s.presence.withdraw("worker", "w"),
        "order": lambda s: s.orders.give("life", Order("repair", id="1")),
        "take orders": lambda s: s.orders.take("life"),
        "epoch": lambda s: bool(s.events.present("epoch").name),
        "events": lambda s: [replace(event, id="") for event in s.events.read("0-0").events],
        "trim": lambda s: s.events.trim(keep_entries=20, keep_seconds=3600),
        "submit a launch": lambda s: s.attempts.submit([launch]),
        "take launches": lambda s: _of(_launches(s, agent).take(count=number + 1, wait_milliseconds=0)),
        "take launches over": lambda s: _of(_taken_over(s, agent)),
        "acknowledge launches": lambda s: [_launches(s, agent).acknowledge(e.id) for e in _taken_over(s, agent)],
        "renew launches": lambda s: _launches(s, agent).renew([entry.id for entry in _taken_over(s, agent)]),
        "give launches back": lambda s: _launches(s, agent).give_back([entry.id for entry in _taken_over(s, agent)]),
        "launches": lambda s: (_launches(s, agent).launches_waiting(), _launches(s, agent).leave()),
        "lease": lambda s: s.leases.take("lease", holder=agent, seconds=30),
        "pace": lambda s: (s.starts.admit("c", [attempt], most=2), s.starts.leave("c", [_ATTEMPTS[0]])),
        "rate": lambda s: s.rates.take("c", wanted=1, per_second=0.001, capacity=3)[0],
        "offer a warm pod": lambda s: _offered(s, agent, ["n/pod"][: number % 2], number),
        "give a warm pod": lambda s: s.warm.give(
            [Wish(attempt=attempt, generation=number, cluster="c", profile="p", kind="k")]
        ),
        "demand for warm pods": lambda s: sum(s.warm.demand("c", "p").values()),
        "hand over": lambda s: s.hand_overs.due([Waiter(attempt, number, "n", "pod")]),
        "want a workload": lambda s: s.hand_overs.want(attempt, generation=number),
        "renew a workload": lambda s: s.hand_overs.renew([Renewal(attempt, number, "new secret")]),
        "erase": lambda s: s.erasing.erase(attempt, generation=number, is_forced=bool(number % 2)),
        "take from several lists": lambda s: s.client.lmpop(2, "none", "q", direction="RIGHT"),
        "wrong type": lambda s: (s.client.delete(f"{{hybrid:test}}:owner:{owner}"), _set(s, f"owner:{owner}"))[0] * 0,
        "flush": lambda s: s.client.flushall() if number == 0 else None,
    }
    name = rng.choice(list(all_operations))
    return name, all_operations[name]


def _launches(store: Store, agent: str) -> LaunchStream:
    return store.launches("c", consumer=agent)


def _offered(store: Store, agent: str, pods: list[str], starting: int) -> Any:
    lease = store.leases.take("warm", holder=agent, seconds=30)
    if lease is None:
        return None
    taken = store.warm.offer("c", "k", pods, also_seen=["n/other"], starting=starting, lease=lease)
    return None if taken is None else [(item.pod, item.attempt) for item in taken]


def _taken_over(store: Store, agent: str) -> list[LaunchEntry]:
    return _launches(store, agent).take_over(idle_milliseconds=0, count=2)


def _of(entries: list[LaunchEntry]) -> list[tuple[str, int]]:
    return [(entry.attempt, entry.generation) for entry in entries]


def _set(store: Store, key: str) -> None:
    store.client.set(f"{{hybrid:test}}:{key}", "no set", ex=60)


def _timeless(record: Any) -> Any:
    times = ("submitted_at", "running_at", "lost_at", "ended_at", "launching_at", "pending_at")
    times += ("queued_at", "placed_at", "moved_at")
    if record is None:
        return None
    extra = {name: text for name, text in record.extra.items() if not name.endswith("_at")}
    return replace(record, **dict.fromkeys(times, 0), extra=extra)


def _answer(operation: Callable[[Store], Any], store: Store) -> Any:
    try:
        return operation(store)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("seed", range(40))
def test_both_answer_the_same(stores: tuple[Store, Store], seed: int) -> None:
    rng = random.Random(seed)
    done: list[str] = []
    for _ in range(60):
        name, operation = _operation(rng)
        done.append(name)
        real, simulated = (_answer(operation, store) for store in stores)
        assert simulated == real, f"after {done}"


def test_a_key_expires_on_the_virtual_clock() -> None:
    now = 1000.0
    client = SimulatedRedis.connect(RedisServer(lambda: now).run)
    client.set("key", "value", ex=10)
    now += 9
    assert (client.get("key"), client.ttl("key")) == ("value", 1)
    now += 1
    assert client.get("key") is None


def test_a_fall_back_brings_older_data_and_another_server() -> None:
    server = RedisServer(time.time)
    client = SimulatedRedis.connect(server.run)
    client.set("key", "old")
    before, snapshot = client.info("replication")["master_replid"], server.snapshot()
    client.set("key", "new")
    server.fall_back(snapshot)
    assert client.get("key") == "old"
    assert client.info("replication")["master_replid"] != before


def test_what_is_refused_changes_nothing_and_is_refused_as_redis_does_it() -> None:
    server = RedisServer(time.time)
    client = SimulatedRedis.connect(lambda commands: server.run(commands, refusal="READONLY"))
    with pytest.raises(ReadOnlyError):
        client.set("key", "value")
    with pytest.raises(StoreRefused, match="read-only replica"):
        Store(client, instance="test").attempts.claim(AttemptId("a"), worker="w")
    assert client.get("key") is None
    assert isinstance(client, redis.Redis)
