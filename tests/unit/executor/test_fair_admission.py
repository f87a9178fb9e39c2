"""Which of many waiting workloads are submitted where slots are scarce."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from hybrid_executor.executor.fair_admission import admit
from hybrid_executor.fairness import Turns, parse_shares


@dataclass(frozen=True)
class Waiting:
    queue: str
    number: int
    try_number: int = 1


class Slots:
    """So many free slots for each queue; counts how often somebody asks."""

    def __init__(self, free: int, *, most_tries: int = 99, closed: str = "") -> None:
        self.free = free
        self.asked = 0
        self._most_tries = most_tries
        self._closed = closed.split()

    def take(self, item: Waiting) -> str | None:
        self.asked += 1
        if not self.free or item.queue in self._closed or item.try_number > self._most_tries:
            return None
        self.free -= 1
        return "celery"


def admitted(
    waiting: list[Waiting],
    slots: Slots,
    *,
    shares: str = "",
    holding: Mapping[str, int] | None = None,
    turns: Turns | None = None,
    most: int = 1000,
) -> list[Waiting]:
    found = admit(
        waiting,
        lane_of=lambda item: (item.queue, item.try_number),
        take=slots.take,
        turns=turns or Turns(parse_shares(shares)),
        holding=holding or {},
    )
    taken = list(islice(found, most))
    assert all(place == "celery" for _, place in taken)
    return [item for item, _ in taken]


def of(queue: str, count: int) -> list[Waiting]:
    return [Waiting(queue, number) for number in range(count)]


def test_five_workloads_do_not_wait_for_ten_thousand_more_urgent_ones_of_another_queue() -> None:
    found = admitted(of("big", 10_000) + of("small", 5), Slots(16))
    assert Counter(item.queue for item in found) == {"big": 11, "small": 5}


def test_a_queue_that_holds_all_slots_gets_the_next_one_last() -> None:
    found = admitted(of("big", 100) + of("small", 100), Slots(6), holding={"big": 16})
    assert [item.queue for item in found] == ["small"] * 6


def test_a_queue_that_had_nothing_to_do_leads_for_some_rounds_of_the_slots() -> None:
    turns, held = Turns(parse_shares(""), rounds=4), ["big"] * 8
    admitted(of("big", 1000), Slots(100), turns=turns)
    for _ in range(80):
        running = Counter(held[-7:])  # the oldest of eight ends
        [item] = admitted(of("big", 1000) + of("small", 1000), Slots(1), turns=turns, holding=running)
        held.append(item.queue)
    assert Counter(held[8:40]) == {"small": 32}
    assert 22 <= Counter(held[40:])["big"] <= 26


def test_a_queue_that_waits_with_others_from_the_beginning_does_not_lead() -> None:
    turns = Turns(parse_shares(""), rounds=4)
    found = admitted(of("big", 1000) + of("small", 1000), Slots(100), turns=turns)
    assert Counter(item.queue for item in found) == {"big": 50, "small": 50}


def test_slots_are_given_by_shares() -> None:
    found = admitted(of("etl", 100) + of("reports", 100), Slots(40), shares="reports=3")
    assert Counter(item.queue for item in found) == {"etl": 10, "reports": 30}


def test_within_a_queue_the_most_urgent_goes_first() -> None:
    found = admitted([Waiting("a", 1, 2), Waiting("a", 2, 1), Waiting("a", 3, 2)], Slots(9))
    assert [item.number for item in found] == [1, 2, 3]


def test_a_queue_without_room_is_asked_once_and_holds_up_no_other() -> None:
    slots = Slots(50, closed="full")
    found = admitted(of("full", 10_000) + of("free", 5), slots)
    assert [item.queue for item in found] == ["free"] * 5
    assert slots.asked == 6


def test_later_tries_without_a_place_do_not_hold_up_first_tries() -> None:
    slots = Slots(9, most_tries=1)
    waiting = [Waiting("spot", number, 2) for number in range(100)] + [Waiting("spot", 100, 1)]
    assert admitted(waiting, slots) == [waiting[-1]]
    assert slots.asked == 2


def test_what_does_not_fit_into_one_batch_goes_on_in_turn_with_the_next() -> None:
    turns = Turns(parse_shares(""))
    first = admitted(of("a", 100) + of("b", 100), Slots(99), turns=turns, most=5)
    second = admitted(of("a", 100) + of("b", 100), Slots(99), turns=turns, most=5)
    assert Counter(item.queue for item in first + second) == {"a": 5, "b": 5}
