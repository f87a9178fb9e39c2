"""In which order a worker asks its queues."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kombu.utils.scheduling import round_robin_cycle

from hybrid_executor.config import DictConfig
from hybrid_executor.fairness import parse_shares
from hybrid_workers.celery_app import create_worker_app
from hybrid_workers.deployment import read_deployment
from hybrid_workers.queue_order import OPTION, FairOrder, with_fair_order


def order(shares: str = "", *, holding: dict[str, int] | None = None, queues: str = "a b c") -> FairOrder:
    made = FairOrder(parse_shares(shares), lambda: holding or {})
    made.update(queues.split())
    return made


class Slots:
    """The slots of a worker whose tasks all take the same time; whoever is asked first has a message if it is there."""

    def __init__(self, shares: str, *, slots: int) -> None:
        self.waiting: Counter[str] = Counter()
        self.taken: list[str] = []
        self._held: list[str] = []
        self._slots = slots
        self._order = FairOrder(parse_shares(shares), lambda: Counter(self._held))
        self._order.update(["big", "small"])

    def take(self, times: int) -> Counter[str]:
        """Let so many messages come, each when the oldest task has ended; return how many of each queue."""
        for _ in range(times):
            if len(self._held) == self._slots:
                self._held.pop(0)
            queue = next(queue for queue in self._order.consume(2) if self.waiting[queue])
            self._order.rotate(queue)
            self.waiting[queue] -= 1
            self._held.append(queue)
            self.taken.append(queue)
        return Counter(self.taken[-times:])


def options_of(**sections: dict[str, str]) -> dict[str, Any]:
    hybrid = {"redis_url": "redis://localhost/0", **sections.pop("hybrid_executor", {})}
    app = create_worker_app(read_deployment(DictConfig({"hybrid_executor": hybrid, **sections})))
    return dict(app.conf.broker_transport_options)


def test_queues_without_shares_have_their_turns_as_with_kombu() -> None:
    ours, kombus = order(), round_robin_cycle(["a", "b", "c"])
    for _ in range(9):
        first = ours.consume(3)
        assert first == kombus.consume(3)
        ours.rotate(first[0])
        kombus.rotate(first[0])


def test_a_queue_that_has_messages_is_asked_by_its_share() -> None:
    asked = order("a=3, *=1", queues="a b")
    counts: Counter[str] = Counter()
    for _ in range(40):
        counts[asked.rotate(asked.consume(2)[0])] += 1
    assert counts == {"a": 30, "b": 10}


def test_the_queue_that_holds_most_slots_is_asked_last() -> None:
    assert order(holding={"a": 3, "b": 1}).consume(3) == ["c", "b", "a"]


def test_a_small_queue_goes_first_for_some_rounds_and_then_in_turn() -> None:
    worker = Slots("", slots=4)
    worker.waiting["big"] = 1000
    worker.take(100)
    worker.waiting["small"] = 1000
    assert worker.take(16) == {"small": 16}
    assert 38 <= worker.take(80)["big"] <= 42


def test_a_queue_that_comes_first_has_no_lead() -> None:
    worker = Slots("", slots=4)
    worker.waiting.update(big=1000, small=1000)
    assert worker.take(16) == {"big": 8, "small": 8}


def test_the_lead_of_a_queue_is_as_small_as_its_share() -> None:
    worker = Slots("big=4", slots=4)
    worker.waiting["big"] = 1000
    worker.take(100)
    worker.waiting["small"] = 1000
    assert worker.take(16)["small"] in (4, 5, 6)


def test_a_queue_that_comes_again_and_again_gets_no_more_than_its_share() -> None:
    worker = Slots("", slots=4)
    worker.waiting["big"] = 10_000
    worker.take(100)
    for _ in range(200):
        worker.waiting["small"] = 4
        worker.take(6)
    assert worker.taken.count("small") <= 0.5 * (len(worker.taken) - 100) + 16


def test_queues_that_are_added_and_removed_later_are_asked_or_not() -> None:
    asked = order()
    asked.update(["b", "d"])
    assert asked.consume(2) == ["b", "d"]
    assert asked.rotate("gone") == "gone"


def test_a_strategy_of_ones_own_wins() -> None:
    assert with_fair_order({OPTION: "priority", "x": 1}, parse_shares("")) == {OPTION: "priority", "x": 1}
    options = options_of(celery_broker_transport_options={OPTION: "sorted"})
    assert options[OPTION] == "sorted"


def test_workers_use_this_order_with_redis_only() -> None:
    made = options_of(hybrid_executor={"fair_share": "a=3"})[OPTION]()
    made.update(["b", "a"])
    assert isinstance(made, FairOrder)
    assert OPTION not in options_of(celery={"broker_url": "amqp://localhost//"})
