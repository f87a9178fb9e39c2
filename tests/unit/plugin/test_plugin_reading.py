"""Questions are asked once for all, in few threads, and nobody waits for an answer for long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from hybrid_executor.plugin.page.reading import Reading, TooSlow

LONG = 60.0


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reading(clock: Clock) -> Iterator[Reading]:
    reading = Reading(threads=2, clock=clock)
    yield reading
    reading.close()


class Question:
    """Answers with the number of times that it was asked, when it may."""

    def __init__(self) -> None:
        self.times = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self) -> int:
        self.times += 1
        assert self.go_on.wait(LONG)
        return self.times


def ask(reading: Reading, question: Question, *, key: str = "state", seconds: float = LONG) -> int:
    return asyncio.run(reading.ask(key, question, patience_seconds=seconds))


def test_those_who_ask_at_the_same_time_share_the_answer(reading: Reading) -> None:
    question = Question()
    question.go_on.clear()

    async def many() -> list[int]:
        asked = [asyncio.create_task(reading.ask("state", question, patience_seconds=LONG)) for _ in range(10)]
        await asyncio.sleep(0)
        question.go_on.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(many()) == [1] * 10


def test_an_answer_is_used_again_for_a_second(reading: Reading, clock: Clock) -> None:
    question = Question()
    assert ask(reading, question) == 1
    clock.now = 0.9
    assert ask(reading, question) == 1
    clock.now = 1.1
    assert ask(reading, question) == 2


def test_an_answer_that_took_long_is_used_for_longer(reading: Reading, clock: Clock) -> None:
    times = []

    def slow() -> int:
        times.append(clock.now)
        clock.now += 2
        return len(times)

    def answer() -> int:
        return asyncio.run(reading.ask("state", slow, patience_seconds=LONG))

    assert answer() == 1
    clock.now = 11.9
    assert answer() == 1
    clock.now = 12.1
    assert answer() == 2


def test_after_a_change_everything_is_asked_anew(reading: Reading) -> None:
    question = Question()
    assert ask(reading, question) == 1
    reading.forget()
    assert ask(reading, question) == 2


def test_other_questions_have_other_answers(reading: Reading) -> None:
    first, second = Question(), Question()
    ask(reading, first, key="a")
    ask(reading, second, key="b")
    assert (first.times, second.times) == (1, 1)


def test_whoever_waits_too_long_is_told_so_and_the_question_goes_on(reading: Reading) -> None:
    question = Question()
    question.go_on.clear()
    with pytest.raises(TooSlow):
        ask(reading, question, seconds=0.01)
    with pytest.raises(TooSlow):
        ask(reading, question, seconds=0.01)
    question.go_on.set()
    assert ask(reading, question) == 1


def test_a_failure_reaches_everybody_who_waits(reading: Reading) -> None:
    def fail() -> int:
        raise LookupError("no")

    async def two() -> list[int | BaseException]:
        asked = [reading.ask("state", fail, patience_seconds=LONG) for _ in range(2)]
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [type(error) for error in asyncio.run(two())] == [LookupError, LookupError]


def test_where_very_many_questions_wait_more_are_refused_at_once(reading: Reading) -> None:
    question = Question()
    question.go_on.clear()

    async def many() -> list[type[BaseException] | None]:
        asked = [reading.ask(number, question, patience_seconds=0.01) for number in range(80)]
        return [type(error) for error in await asyncio.gather(*asked, return_exceptions=True)]

    assert set(asyncio.run(many())) == {TooSlow}
    question.go_on.set()
    reading.close()
    assert question.times <= 64


def test_an_action_does_not_wait_for_questions_that_are_stuck(reading: Reading) -> None:
    question = Question()
    question.go_on.clear()
    for number in range(4):
        with pytest.raises(TooSlow):
            ask(reading, question, key=str(number), seconds=0.01)
    assert asyncio.run(reading.once(lambda: "done", patience_seconds=LONG)) == "done"
    question.go_on.set()


def test_the_event_loop_goes_on_while_a_question_is_asked(reading: Reading) -> None:
    question = Question()
    question.go_on.clear()

    async def both() -> int:
        asked = asyncio.create_task(reading.ask("state", question, patience_seconds=LONG))
        for _ in range(100):
            await asyncio.sleep(0)
        question.go_on.set()
        return await asked

    assert asyncio.run(both()) == 1
