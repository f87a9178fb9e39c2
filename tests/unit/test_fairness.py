"""Shares of scarce slots: what may be written, and who is served how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from hybrid_executor.errors import ConfigError
from hybrid_executor.fairness import Turns, parse_shares


def served(turns: Turns, queues: str, times: int, holding: Mapping[str, int] | None = None) -> Counter[str]:
    """Serve whose turn it is, so many times."""
    counts: Counter[str] = Counter()
    for _ in range(times):
        queue = turns.first(queues.split(), holding or {})
        turns.serve(queue)
        counts[queue] += 1
    return counts


def test_the_first_pattern_that_matches_gives_a_queue_its_share() -> None:
    shares = parse_shares("reports=3, etl-*=0.5\n*=2")
    assert [shares.of(queue) for queue in ("reports", "etl-1", "other")] == [3.0, 0.5, 2.0]
    assert str(shares) == "reports=3, etl-*=0.5, *=2"


def test_a_queue_without_a_match_has_the_share_1() -> None:
    assert parse_shares("reports=3").of("other") == 1.0
    assert parse_shares("").of("other") == 1.0


@pytest.mark.parametrize(
    "text", ["reports", "=3", "reports=", "reports=many", "reports=0", "reports=-1", "a=inf", "a=nan"]
)
def test_what_is_no_share_is_refused_and_the_message_says_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match=r"\[hybrid_executor\] fair_share: .* write pattern=number .* above 0"):
        parse_shares(text)


def test_a_pattern_may_appear_once() -> None:
    with pytest.raises(ConfigError, match="'a' appears twice; remove one of them"):
        parse_shares("a=1, b=2, a=3")


def test_queues_are_served_in_proportion_to_their_shares() -> None:
    turns = Turns(parse_shares("reports=3, etl=1"))
    assert served(turns, "etl reports other", 500) == {"reports": 300, "etl": 100, "other": 100}


def test_a_queue_that_had_nothing_to_do_gets_no_credit_for_it() -> None:
    turns = Turns(parse_shares(""))
    served(turns, "big", 1000)
    assert served(turns, "big small", 10) == {"big": 5, "small": 5}


def test_a_queue_that_had_nothing_to_do_may_catch_up_as_far_as_its_credit() -> None:
    turns = Turns(parse_shares("small=2"), credit=6)
    served(turns, "big", 1000)
    assert served(turns, "small big", 6) == {"small": 6}
    assert 9 <= served(turns, "small big", 30)["big"] <= 11
    assert served(turns, "new small big", 6) == {"new": 6}


def test_a_queue_that_is_alone_uses_up_its_credit() -> None:
    turns = Turns(parse_shares(""), credit=20)
    served(turns, "small", 30)
    for _ in range(20):
        turns.serve("big", is_alone=True)
    assert served(turns, "big small", 20)["small"] in (19, 20)


def test_a_queue_that_comes_late_is_served_at_once() -> None:
    turns = Turns(parse_shares(""))
    served(turns, "big", 1000)
    assert turns.first(["small", "big"]) == "small"


def test_the_queue_with_the_fewest_slots_for_its_share_is_first() -> None:
    turns = Turns(parse_shares("reports=3"))
    assert served(turns, "etl reports", 5, {"etl": 15, "reports": 0}) == {"reports": 5}
    assert turns.first(["etl", "reports"], {"etl": 4, "reports": 11}) == "reports"
    assert turns.first(["etl", "reports"], {"etl": 3, "reports": 12}) == "etl"


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_shares_hold_over_time_where_there_are_fewer_slots_than_shares(slots: int) -> None:
    turns = Turns(parse_shares("reports=3"))
    holding = ["etl"] * slots
    counts: Counter[str] = Counter()
    for _ in range(400):
        holding.pop(0)  # tasks of one duration: the oldest ends first
        queue = turns.first(["etl", "reports"], Counter(holding))
        turns.serve(queue)
        counts[queue] += 1
        holding.append(queue)
    assert 240 <= counts["reports"] <= 330


def test_a_queue_of_long_tasks_does_not_fill_all_slots() -> None:
    turns = Turns(parse_shares(""))
    running = {"long": 0, "short": 0}
    for _ in range(200):
        if sum(running.values()) == 8:
            running["short"] -= 1  # the short tasks end, and no long one does
        queue = turns.first(["long", "short"], running)
        turns.serve(queue)
        running[queue] += 1
    assert running == {"long": 4, "short": 4}


@pytest.mark.parametrize("credit", [0.0, 5.0])
def test_what_is_taken_back_leaves_no_trace(credit: float) -> None:
    turns = Turns(parse_shares("b=2"), credit=credit)
    served(turns, "d", 100)
    served(turns, "a b", 3)
    before = turns.order("a b c".split())
    taken = []
    for _ in range(20):
        taken.append(turns.first("a b c".split()))
        turns.serve(taken[-1])
    for queue in reversed(taken):
        turns.take_back(queue)
    assert turns.order("a b c".split()) == before
    assert served(turns, "a b c", 400)["b"] in range(195, 206)
