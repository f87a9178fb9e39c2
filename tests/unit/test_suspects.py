"""Options without effect: misspelt, in another section, or variables with the wrong number of underscores."""

from __future__ import annotations

from collections.abc import Mapping
from configparser import ConfigParser

import pytest

from hybrid_executor.config.suspects import find_suspects, known_options

NO_SUCH = "has no effect: there is no such option."


def suspects(text: str = "", **variables: str) -> list[str]:
    conf = ConfigParser(interpolation=None)
    conf.read_string(text)
    return find_suspects(conf, variables)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[hybrid_executor]\nroute = x", f"[hybrid_executor] route {NO_SUCH} Did you mean routes?"),
        ("[hybrid_executor]\nredis_ulr_cmd = x", f"[hybrid_executor] redis_ulr_cmd {NO_SUCH} Did you mean redis_url?"),
        (
            "[hybrid_executor]\nzzz = x",
            f"[hybrid_executor] zzz {NO_SUCH} 'airflow config list --section hybrid_executor' shows all.",
        ),
        (
            "[hybrid_executor]\nworker_concurrency = 4",
            "[hybrid_executor] worker_concurrency has no effect: it is an option of [celery]. Write it there.",
        ),
        (
            "[celery]\nredis_url = redis://x",
            "[celery] redis_url has no effect: it is an option of [hybrid_executor]. Write it there.",
        ),
        (
            "[celery]\nworker_concurency = 4",
            f"[celery] worker_concurency {NO_SUCH} Did you mean worker_concurrency?",
        ),
        (
            "[hybrid_executer]\nroutes = *=celery",
            "[hybrid_executer] routes has no effect: there is no section [hybrid_executer]. "
            "Did you mean [hybrid_executor]?",
        ),
    ],
)
def test_an_option_without_effect_is_named_with_what_to_write(text: str, words: str) -> None:
    assert suspects(text) == [words]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"AIRFLOW__HYBRID_EXECUTOR__ROUTE": "x"},
            f"AIRFLOW__HYBRID_EXECUTOR__ROUTE {NO_SUCH} Did you mean routes?",
        ),
        (
            {"AIRFLOW__HYBRID_EXECUTOR_ROUTES": "x"},
            "AIRFLOW__HYBRID_EXECUTOR_ROUTES has no effect: write AIRFLOW__HYBRID_EXECUTOR__ROUTES, with two "
            "underscores after AIRFLOW and after the section.",
        ),
        (
            {"AIRFLOW_HYBRID_EXECUTOR__ROUTES": "x"},
            "AIRFLOW_HYBRID_EXECUTOR__ROUTES has no effect: write AIRFLOW__HYBRID_EXECUTOR__ROUTES, with two "
            "underscores after AIRFLOW and after the section.",
        ),
    ],
)
def test_variables_of_the_environment_count_too(variables: Mapping[str, str], words: str) -> None:
    assert suspects(**variables) == [words]


def test_what_is_right_is_not_named() -> None:
    for section, names in known_options().items():
        assert suspects("\n".join([f"[{section}]", *(f"{name} = x" for name in names)])) == []
    right = (
        "[hybrid_executor]\nredis_url_cmd = a\nredis_options_secret = b\n[celery]\nsome_new_option = 1\n[my_own]\na = 1"
    )
    assert suspects(right, AIRFLOW__HYBRID_EXECUTOR__REDIS_URL_SECRET="x", AIRFLOW__CELERY__BROKER_URL="y") == []


def test_no_value_is_shown() -> None:
    assert "hunter2" not in str(suspects("[hybrid_executor]\nredis_ulr = redis://:hunter2@h"))
