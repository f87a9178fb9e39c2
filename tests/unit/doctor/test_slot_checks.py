"""Which limits of executors, teams and targets do not go together with [core] parallelism."""

from __future__ import annotations

import pytest

from hybrid_executor.doctor.slot_checks import SlotFacts, judge_slots
from hybrid_executor.routing import parse_routes


def facts(team: str = "", *, parallelism: int = 32, celery: int = 32, kubernetes: int = 32) -> SlotFacts:
    return SlotFacts(team=team, parallelism=parallelism, pools={"celery": celery, "kubernetes": kubernetes})


def told(*others: SlotFacts, asked: SlotFacts, routes: str = "*=celery", total: int = 32, schedulers: int = 1) -> str:
    parsed = parse_routes(routes, profiles=[])
    found = judge_slots([asked, *others], asked=asked, routes=parsed, total=total, schedulers=schedulers)
    return "\n".join(f"{finding.level}: {finding.what} -> {finding.cure}" for finding in found)


def test_limits_that_go_together_are_told() -> None:
    assert told(asked=facts()) == "ok: in each scheduler at most: celery 32, kubernetes 32 -> "


def test_a_limit_above_parallelism_has_no_effect() -> None:
    words = told(asked=facts(celery=500))
    assert "[hybrid_executor] celery_parallelism = 500 has no effect above [core] parallelism = 32" in words
    assert "set [core] parallelism to 500 or more" in words
    assert words.startswith("warning")
    of_team = told(asked=facts("red", celery=500))
    assert "[red=hybrid_executor] celery_parallelism = 500 has no effect above [red=core] parallelism = 32" in of_team
    assert told(asked=facts(parallelism=0, celery=500), total=0).startswith("ok: in each scheduler at most: celery 500")


@pytest.mark.parametrize(("schedulers", "is_told"), [(0, True), (1, True), (6, True), (7, False)])
def test_a_target_may_not_take_more_than_all_schedulers_have(schedulers: int, is_told: bool) -> None:
    words = told(asked=facts(), routes="etl-*=celery(max=200, wait=20s) > kubernetes, *=celery", schedulers=schedulers)
    assert ("max=200" in words) == is_told
    if is_told:
        most = 32 * max(1, schedulers)
        assert f"at most {most} tasks in the pool celery" in words
        assert f"or write max={most}" in words


def test_one_team_must_not_be_able_to_take_the_slots_of_all() -> None:
    red, blue = facts("red", celery=16, kubernetes=8), facts("blue", celery=16, kubernetes=8)
    words = told(red, blue, asked=facts(), total=32)
    assert "112 tasks in each scheduler (all teams 64, red 24, blue 24)" in words
    assert "[core] parallelism = 32 for all of them: one team can take the slots of the others" in words
    assert "set [core] parallelism to 112" in words
    assert told(red, blue, asked=facts(), total=112).startswith("ok")
    assert told(red, blue, asked=facts(), total=0).startswith("ok"), "0 is no limit"
