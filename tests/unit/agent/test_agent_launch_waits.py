"""How long launches of a small queue wait for the rate of creation, alone and beside a large queue. Virtual time."""

from __future__ import annotations

import itertools

import pytest

from hybrid_executor.agent.launch.entries import Launch
from hybrid_executor.agent.launch.pace import Pace, credit_of
from hybrid_executor.agent.launch.queue import LaunchQueue
from hybrid_executor.events import AttemptId, StreamId
from hybrid_executor.fairness import parse_shares
from hybrid_executor.kube.demand import demand_of
from hybrid_executor.store import LaunchEntry, Store
from tests.simulation.redis_client import SimulatedRedis
from tests.simulation.redis_server import RedisServer

_TURN_SECONDS = 0.1
_BATCH = 64
_DEMAND = demand_of({"spec": {"containers": [{"name": "base"}]}}, namespace="a")
_numbers = itertools.count(1)


class Cluster:
    """One cluster and its agents, which take turns every 0.1 s. The rate is counted by the script that agents use.

    :ivar created: when each pod of each queue was created, seconds.
    """

    def __init__(self, rate: float, *, agents: int = 1, shares: str = "") -> None:
        self.now = 1_000.0
        self.created: dict[str, list[float]] = {}
        self._rate = rate
        store = Store(SimulatedRedis.connect(RedisServer(lambda: self.now).run), instance="test")
        self._pace = Pace(store, cluster="c", pods_per_second=rate, most_starting=1_000_000)
        self._queues = [LaunchQueue(parse_shares(shares), credit=credit_of(rate)) for _ in range(agents)]

    def launch(self, queue: str, count: int) -> None:
        """Let all agents get launches, one after the other."""
        for number in range(count):
            name = str(next(_numbers))
            entry = LaunchEntry(id=StreamId(f"{name}-0"), op="launch", attempt=AttemptId(name), generation=1)
            self._queues[number % len(self._queues)].add(Launch(entry, queue), _DEMAND)

    def run(self, seconds: float) -> None:
        """Let time pass. Each time, another agent is the first to ask."""
        for _ in range(round(seconds / _TURN_SECONDS)):
            self._queues.append(self._queues.pop(0))
            for queue in self._queues:
                launches = queue.take(_BATCH, now=self.now)
                granted = self._pace.admit(launches)[0] if launches else 0
                queue.put_back(launches[granted:])
                for launch in launches[:granted]:
                    self.created.setdefault(launch.queue, []).append(self.now)
                    queue.settled(launch)
            self.now += _TURN_SECONDS

    def waits(self, queue: str, count: int) -> list[float]:
        """Return how long each launch of a queue waits that gets so many now, longest last."""
        began = self.now
        self.launch(queue, count)
        while len(self.created.get(queue, ())) < count:
            self.run(1.0)
            assert self.now < began + 10_000
        return sorted(at - began for at in self.created.pop(queue))


@pytest.mark.parametrize(
    ("rate", "count", "agents"),
    [(10, 1, 1), (10, 10, 1), (10, 20, 1), (10, 40, 1), (10, 100, 1), (10, 20, 3), (50, 90, 1)],
)
def test_a_small_queue_waits_at_most_twice_as_long_beside_a_large_one(rate: int, count: int, agents: int) -> None:
    alone = Cluster(rate, agents=agents).waits("small", count)
    for at in (0.7, 3.0) if count <= 20 else (3.0,):
        cluster = Cluster(rate, agents=agents)
        cluster.launch("big", 3 * count + 10 * rate)
        cluster.run(at)
        beside = cluster.waits("small", count)
        assert len(cluster.created["big"]) < 3 * count + 10 * rate, "the other queue had work all the time"
        for percent in (50, 99, 100):
            longest = [waits[(percent * count + 99) // 100 - 1] for waits in (alone, beside)]
            # The agents take turns with a pause in between.
            assert longest[1] <= 2 * longest[0] + _TURN_SECONDS + 0.01, f"{percent}% after {at} s"


def test_what_a_small_queue_gets_early_is_saved_from_the_others_later() -> None:
    cluster = Cluster(10.0)
    cluster.launch("big", 2_000)
    cluster.run(10.0)
    for _ in range(8):
        cluster.launch("small", 20)
        cluster.run(5.0)
    created = sorted(at for times in cluster.created.values() for at in times)
    assert len(cluster.created["small"]) == 160
    assert 10 * 50 - 30 <= len(created) <= 10 * 50 + 20, "the rate is what it was"
    for seconds in (1.0, 5.0, 20.0):
        for index, begin in enumerate(created):
            within = sum(1 for at in itertools.islice(created, index, None) if at < begin + seconds)
            assert within <= 10 * seconds + 2 * 10 + 1, "no more in any time than the rate and twice a second of it"
            if index > 300:
                break


def test_many_small_queues_do_not_keep_the_large_one_from_going_on() -> None:
    cluster = Cluster(10.0)
    cluster.launch("big", 2_000)
    cluster.run(10.0)
    before = len(cluster.created["big"])
    for number in range(24):
        cluster.launch(f"small-{number % 3}", 40)
        cluster.run(2.0)
    # Three others always have work: each queue gets its quarter, but for what the new ones get at first.
    assert len(cluster.created["big"]) - before >= (480 - 3 * 20) / 4 * 0.8


def test_a_large_queue_alone_gets_no_more_than_the_rate() -> None:
    cluster = Cluster(10.0)
    cluster.launch("big", 1_000)
    cluster.run(20.0)
    assert 199 <= len(cluster.created["big"]) <= 211
