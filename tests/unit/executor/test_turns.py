from __future__ import annotations

from hybrid_executor.events import AttemptId
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.executor.turns import Turns
from hybrid_executor.states import State


def track(*names: str) -> list[Tracked]:
    return [
        Tracked(
            attempt=AttemptId(name),
            key=(name,),  # type: ignore[arg-type]
            kind="task",
            workload_id=name,
            pool="celery",
            queue="default",
            state=State.SUBMITTED,
            generation=1,
            since=0.0,
        )
        for name in names
    ]


def names(tracked: list[Tracked]) -> str:
    return "".join(item.attempt for item in tracked)


def test_each_attempt_has_its_turn_before_one_has_its_second() -> None:
    turns, tracked = Turns(2), track("a", "b", "c", "d", "e")
    assert [names(turns.take(tracked)) for _ in range(4)] == ["ab", "cd", "e", "ab"]


def test_an_attempt_that_comes_later_has_its_turn_first() -> None:
    turns = Turns(2)
    turns.take(track("a", "b"))
    assert names(turns.take(track("a", "b", "c"))) == "c"


def test_what_has_ended_is_forgotten() -> None:
    turns = Turns(2)
    turns.take(track("a", "b"))
    assert names(turns.take(track("c"))) == "c"
    assert names(turns.take(track("a", "b", "c"))) == "ab"
    assert turns.take([]) == []
