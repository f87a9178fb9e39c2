"""Routes: the first match wins, and a table that cannot work says what to write."""

from __future__ import annotations

import pytest

from hybrid_executor.errors import ConfigError
from hybrid_executor.routing import parse_routes


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
