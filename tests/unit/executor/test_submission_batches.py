"""Much that waits is submitted in batches, for as long as a heartbeat may take for that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from hybrid_executor.executor.submission import in_batches


class Batches:
    """Notes batches; each takes so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.sizes: list[int] = []
        self.now = 0.0
        self._seconds = seconds

    def take(self, batch: list[Any]) -> None:
        self.sizes.append(len(batch))
        self.now += self._seconds

    def clock(self) -> float:
        return self.now


def waiting(count: int) -> Iterator[Any]:
    return cast("Iterator[Any]", iter(range(count)))


def test_all_are_submitted_while_there_is_time() -> None:
    batches = Batches(0.1)
    assert in_batches(waiting(3_500), batches.take, clock=batches.clock)
    assert batches.sizes == [1_000, 1_000, 1_000, 500]


def test_after_half_a_second_no_other_batch_begins_and_what_is_left_was_not_asked_for() -> None:
    batches, left = Batches(0.3), waiting(10_000)
    assert in_batches(left, batches.take, clock=batches.clock)
    assert batches.sizes == [1_000, 1_000]
    assert cast("int", next(left)) == 2_000


def test_nothing_to_submit_is_no_work() -> None:
    batches = Batches(0.1)
    assert not in_batches(waiting(0), batches.take, clock=batches.clock)
    assert batches.sizes == []
