"""What components announce of themselves: equal secrets are seen as equal, and no secret is seen."""

from __future__ import annotations

import json

import pytest

from hybrid_executor.config import DictConfig, airflow_config
from hybrid_executor.config.identity import fingerprint, place_of_database, read_identity, read_secrets

SECRETS = {"core": {"fernet_key": "F-secret"}, "api_auth": {"jwt_secret": "J-secret"}}


def test_equal_secrets_have_equal_fingerprints_and_other_instances_have_others() -> None:
    one = read_identity(DictConfig(SECRETS), instance="a")
    again = read_identity(DictConfig(SECRETS), instance="a")
    other = read_identity(DictConfig(SECRETS), instance="b")
    assert one == again
    assert set(read_secrets(one).values()).isdisjoint(read_secrets(other).values())
    assert set(read_secrets(one)) == {"core.fernet_key", "api_auth.jwt_secret"}


def test_no_secret_is_in_an_announcement() -> None:
    url = "postgresql+psycopg2://user:P-secret@db/airflow"
    told = json.dumps(read_identity(DictConfig({**SECRETS, "database": {"sql_alchemy_conn": url}}), instance="a"))
    assert not [text for text in ("F-secret", "J-secret", "P-secret", "user", "@") if text in told]
    assert len(json.loads(told)["database"]) == 8


def test_a_fingerprint_is_short_and_depends_on_what_it_is_of() -> None:
    assert len(fingerprint("x", name="a", instance="i")) == 8
    assert fingerprint("x", name="a", instance="i") != fingerprint("x", name="b", instance="i")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("postgresql+psycopg2://u:p@DB/airflow", "postgresql+asyncpg://v:q@db:5432/airflow?sslmode=require", True),
        ("postgres://db/airflow", "postgresql://db/airflow", True),
        ("mysql://db/airflow", "mysql+mysqldb://u@db:3306/airflow", True),
        ("postgresql://db/airflow", "postgresql://db/other", False),
        ("postgresql://db/airflow", "postgresql://db:5433/airflow", False),
        ("sqlite:////a/airflow.db", "sqlite:////b/airflow.db", False),
    ],
)
def test_a_database_is_known_by_its_place(one: str, other: str, is_same: bool) -> None:
    assert (place_of_database(one) == place_of_database(other)) is is_same


def test_what_nobody_has_set_is_not_announced() -> None:
    assert set(read_identity(DictConfig(), instance="a")) == {"version", "airflow"}


def test_an_unreadable_announcement_has_no_secrets() -> None:
    assert read_secrets({"secrets": "{"}) == {}
    assert read_secrets({"secrets": "[]"}) == {}
    assert read_secrets({}) == {}


def test_a_failing_command_keeps_no_component_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY_CMD", "false")
    monkeypatch.delenv("AIRFLOW__CORE__FERNET_KEY", raising=False)
    conf = airflow_config()
    assert conf.is_set("core", "fernet_key")
    assert "core.fernet_key" not in read_secrets(read_identity(conf, instance="a"))


def test_a_default_of_airflow_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW__API_AUTH__JWT_SECRET", raising=False)
    assert not airflow_config().is_set("api_auth", "jwt_secret")
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "x")
    assert airflow_config().is_set("api_auth", "jwt_secret")
