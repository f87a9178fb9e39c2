"""Routes: the first match wins, and a table that cannot work says what to write."""

from __future__ import annotations

import pytest

from hybrid_executor.errors import ConfigError
from hybrid_executor.routing import parse_routes
from hybrid_executor.targets import Target


def test_the_first_match_wins() -> None:
    routes = parse_routes("kubernetes=kubernetes, gpu-*=kubernetes:gpu, *=celery", profiles=["gpu"])
    assert [str(routes.find(queue)) for queue in ("kubernetes", "gpu-a100", "default", "GPU-1")] == [
        "kubernetes=kubernetes",
        "gpu-*=kubernetes:gpu",
        "*=celery",
        "*=celery",
    ]
    assert routes.pools == ("kubernetes", "celery")
    assert routes.profiles == ("gpu",)


def test_lines_separate_routes_as_commas_do() -> None:
    assert str(parse_routes("a=kubernetes\n b = local \n*=celery", profiles=[])) == "a=kubernetes, b=local, *=celery"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a=ecs, *=celery", r"pool 'ecs'.*celery, kubernetes, local"),
        ("a=kubernetes:fast, *=celery", "unknown profile 'fast'.*profiles_file"),
        ("a=celery:gpu, *=celery", "only the pool kubernetes has profiles"),
        ("a=kubernetes:, *=celery", "no profile after the colon"),
        ("a, *=celery", "write pattern=pool"),
        ("=celery, *=celery", "write pattern=pool"),
        ("a=kubernetes, a=celery, *=celery", "'a' appears twice"),
        ("*=celery, a=kubernetes", r"'a=kubernetes' can never match.*write it before"),
        ("gpu-*=kubernetes, gpu-a=celery, *=celery", "'gpu-a=celery' can never match"),
        ("gpu-*=kubernetes, gpu-a*=celery, *=celery", r"'gpu-a\*=celery' can never match"),
        ("a=kubernetes", r"add '\*=celery'"),
        ("", r"add '\*=celery'"),
    ],
)
def test_a_table_that_cannot_work_says_what_to_write(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_routes(text, profiles=[])


def test_an_unknown_profile_is_told_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="write one of big, gpu"):
        parse_routes("a=kubernetes:fast, *=celery", profiles=["gpu", "big"])


ELASTIC = """
    etl-*   = celery(max=200, wait=20s) > kubernetes:spot(tries=2) > kubernetes
    reports = celery(served) > kubernetes(max = 5)
    *       = celery
"""


def test_a_route_has_targets_in_their_order_with_conditions() -> None:
    routes = parse_routes(ELASTIC, profiles=["spot"])
    assert routes.find("etl-1").targets == (
        Target("celery", most=200, wait_seconds=20.0),
        Target("kubernetes", "spot", tries=2),
        Target("kubernetes"),
    )
    assert routes.find("reports").targets == (Target("celery", is_served=True), Target("kubernetes", most=5))
    assert [target.name for target in routes.find("etl-1").targets] == ["celery", "kubernetes:spot", "kubernetes"]
    assert routes.pools == ("celery", "kubernetes")
    assert routes.profiles == ("spot",)
    assert [route.is_elastic for route in routes.routes] == [True, True, False]


def test_commas_in_brackets_separate_conditions_and_all_others_routes() -> None:
    one_line = (
        "etl-*=celery(max=200,wait=20)>kubernetes:spot(tries=2)>kubernetes,reports=celery(served)>kubernetes(max=5),"
        "*=celery"
    )
    assert str(parse_routes(one_line, profiles=["spot"])) == str(parse_routes(ELASTIC, profiles=["spot"]))


def test_routes_are_written_as_they_are_read() -> None:
    routes = parse_routes(ELASTIC, profiles=["spot"])
    assert str(routes.find("etl-1")) == "etl-*=celery(max=200, wait=20s) > kubernetes:spot(tries=2) > kubernetes"
    assert parse_routes(str(routes), profiles=["spot"]).routes == routes.routes


@pytest.mark.parametrize(
    ("written", "seconds"), [("20s", 20), ("20", 20), ("1.5m", 90), ("2 h", 7200), ("1d", 86400), ("90s", 90)]
)
def test_a_wait_is_a_number_with_a_unit(written: str, seconds: float) -> None:
    route = parse_routes(f"*=celery(wait={written}) > kubernetes", profiles=[]).find("a")
    assert route.targets[0].wait_seconds == seconds
    assert parse_routes(str(route), profiles=[]).find("a") == route


def test_the_targets_after_one_are_those_that_follow_it() -> None:
    route = parse_routes(ELASTIC, profiles=["spot"]).find("etl-1")
    assert [target.name for target in route.after("kubernetes:spot")] == ["kubernetes"]
    assert route.after("kubernetes") == ()
    assert route.after("gone") == route.targets
    assert route.place(route.targets[1]) == "etl-*>kubernetes:spot"


def test_a_route_of_one_target_without_a_condition_counts_nowhere() -> None:
    route = parse_routes("*=celery", profiles=[]).find("a")
    assert route.place(route.targets[0]) == ""
    limited = parse_routes("*=celery(max=3)", profiles=[]).find("a")
    assert limited.place(limited.targets[0]) == "*>celery"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("*=celery(most=3) > kubernetes", r"unknown condition 'most=3'; write one of max=N, wait=DURATION"),
        ("*=celery() > kubernetes", r"unknown condition ''; write one of .* or no brackets"),
        ("*=celery(max=0)", "max = '0' is not a whole number from 1 up; write a number, such as max=2"),
        ("*=celery(max=x)", "max = 'x' is not a whole number"),
        ("*=celery(max) > kubernetes", "max = '' is not a whole number"),
        ("*=celery(max=1, max=2)", "max appears twice; remove one"),
        ("*=celery(wait=soon) > kubernetes", "wait = 'soon' is not a duration; write a number with s, m, h or d"),
        ("*=celery(wait=0s) > kubernetes", "wait = '0s' is not a duration"),
        ("*=celery(served=yes) > kubernetes", "'served' has no value; write served alone"),
        ("*=kubernetes(served) > celery", "kubernetes has none; remove served"),
        ("*=celery(wait=20s)", "this is the last one; add a target after it"),
        ("*=celery > kubernetes(tries=2)", "this is the last one"),
        ("*=celery(served)", "this is the last one"),
        ("*=local(max=2) > kubernetes", "set .* local_parallelism"),
        ("*=local(wait=2s) > kubernetes", "set .* local_parallelism"),
        ("*=celery > celery", "celery appears twice in"),
        ("*=celery > ", "empty target"),
        ("*=celery > > kubernetes", "empty target"),
        ("*=celery(max=2", "unmatched bracket"),
        ("*=celery max=2)", "unmatched bracket"),
        ("*=celery(max=2) x", "not a target"),
        ("*=celery(max=2) > ecs", "unknown pool 'ecs'"),
    ],
)
def test_wrong_conditions_say_what_to_write(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_routes(text, profiles=[])
