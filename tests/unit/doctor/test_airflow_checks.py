"""What Airflow's configuration means for this executor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hybrid_executor.config import DictConfig
from hybrid_executor.doctor import airflow_checks as judge
from hybrid_executor.doctor.airflow_checks import HERE, ProviderFacts, SecretFacts
from hybrid_executor.doctor.airflow_part import api_address
from hybrid_executor.doctor.timeout_checks import Timeouts, judge_timeouts

JWT, FERNET = "api_auth.jwt_secret", "core.fernet_key"


@pytest.mark.parametrize(
    ("executor", "levels"),
    [
        ("hybrid_executor.HybridExecutor", ["ok"]),
        ("Hybrid:hybrid_executor.HybridExecutor", ["ok"]),
        ("hybrid_executor.HybridExecutor,CeleryExecutor", ["ok", "warning"]),
        ("hybrid_executor.HybridExecutor,KubernetesExecutor", ["ok", "warning"]),
        ("LocalExecutor,hybrid_executor.HybridExecutor", ["warning"]),
        ("CeleryExecutor", ["failure"]),
        ("", ["failure"]),
    ],
)
def test_the_executor_must_be_ours_and_alone(executor: str, levels: list[str]) -> None:
    assert [finding.level for finding in judge.judge_executor(executor)] == levels


def test_an_api_that_does_not_answer_is_told_with_the_option() -> None:
    assert judge.judge_api("http://api/execution/", is_set=True, answer="").level == "ok"
    found = judge.judge_api("http://api/execution/", is_set=True, answer="Connection refused")
    assert found.level == "failure"
    assert "[core] execution_api_server_url = http://api/execution/ does not answer from here: Conn" in found.what
    unset = judge.judge_api("http://localhost:8080/execution/", is_set=False, answer="HTTP 404")
    assert "Airflow's default, since [core] execution_api_server_url is not set" in unset.what


@pytest.mark.parametrize(
    ("sections", "address"),
    [
        ({}, ("http://localhost:8080/execution/", False)),
        ({"api": {"base_url": "/airflow"}}, ("http://localhost:8080/airflow/execution/", False)),
        ({"api": {"base_url": "https://a.example/x/"}}, ("https://a.example/x/execution/", True)),
        ({"core": {"execution_api_server_url": "http://api/e/"}}, ("http://api/e/", True)),
    ],
)
def test_the_address_is_found_as_airflow_finds_it(
    sections: dict[str, dict[str, str]], address: tuple[str, bool]
) -> None:
    assert api_address(DictConfig(sections)) == address


def levels(facts: SecretFacts) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in judge.judge_secrets(facts):
        found.setdefault(finding.check, []).append(finding.level)
    return found


def secrets(announced: Mapping[str, Mapping[str, str]], **rest: Any) -> SecretFacts:
    return SecretFacts(set_here=frozenset({JWT, FERNET}), announced=announced, **rest)


def test_equal_secrets_are_well() -> None:
    announced = {JWT: {HERE: "1", "scheduler 1": "1", "worker w": "1"}, FERNET: {HERE: "2", "scheduler 1": "2"}}
    assert levels(secrets(announced)) == {"secrets set": ["ok", "ok"], "secrets equal": ["ok"]}


def test_a_secret_that_differs_names_both_sides() -> None:
    announced = {JWT: {HERE: "1111", "scheduler 1": "2222", "worker w": "1111"}}
    [found] = [item for item in judge.judge_secrets(secrets(announced)) if item.check == "secrets equal"]
    assert found.level == "failure"
    assert found.what == "[api_auth] jwt_secret differs: scheduler 1 (2222); this process, worker w (1111)"
    assert "set [api_auth] jwt_secret to the same value everywhere" in found.cure


def test_an_agent_with_another_secret_is_only_warned_of() -> None:
    facts = secrets({JWT: {"scheduler 1": "1", "agent a": "2"}}, agents=frozenset({"agent a"}))
    assert levels(facts)["secrets equal"] == ["warning"]


def test_a_secret_that_nobody_has_set_is_generated_by_each_process() -> None:
    assert levels(SecretFacts()) == {"secrets set": ["failure", "warning"], "secrets equal": ["unknown"]}
    assert levels(SecretFacts(has_key_file=True))["secrets set"] == ["warning"]
    of_others = SecretFacts(announced={JWT: {"scheduler 1": "1"}, FERNET: {"scheduler 1": "2"}})
    assert levels(of_others)["secrets set"] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("other", "level"),
    [
        (ProviderFacts(package="other"), "ok"),
        (ProviderFacts(package="other", sections=("celery", "hybrid_executor")), "failure"),
        (ProviderFacts(package="other", groups=("hybrid",)), "failure"),
    ],
)
def test_another_provider_with_our_section_or_group_clashes(other: ProviderFacts, level: str) -> None:
    ours = ProviderFacts(package=judge.OUR_PACKAGE, sections=("hybrid_executor",), groups=("hybrid",))
    assert judge.judge_providers([ours, other], section="hybrid_executor", group="hybrid").level == level
    assert judge.judge_providers([], section="hybrid_executor", group="hybrid").level == "warning"


WELL = Timeouts(execution_api_timeout=60)


def test_the_defaults_go_together() -> None:
    assert {finding.level for finding in judge_timeouts(WELL)} == {"ok"}
    assert all(finding.check == "timeouts" for finding in judge_timeouts(WELL))


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"task_queued_timeout": 40.0, "launch_patience": 1.0}, "failure", "task_queued_timeout 40 s"),
        ({"scheduler_health_check_threshold": 10.0}, "failure", "scheduler_health_check_threshold 10 s"),
        ({"record_retention": 599.0, "visibility_timeout": 600.0}, "failure", "record_retention 599 s"),
        ({"record_retention": 3600.0}, "warning", "visibility_timeout 86400 s"),
        ({"task_instance_heartbeat_timeout": 30.0}, "warning", "task_instance_heartbeat_timeout 30 s"),
        ({"min_heartbeat_interval": 30.0}, "failure", "min_heartbeat_interval 30 s"),
        ({"visibility_timeout": 300.0}, "warning", "visibility_timeout 300 s"),
        ({"launch_patience": 600.0}, "warning", "launch_patience 600 s"),
        ({"execution_api_timeout": 5.0}, "warning", "execution_api_timeout 5 s"),
    ],
)
def test_limits_that_do_not_go_together_are_told_with_numbers_and_cure(
    change: dict[str, float], level: str, words: str
) -> None:
    [found] = [finding for finding in judge_timeouts(replace(WELL, **change)) if finding.level != "ok"]  # type: ignore[arg-type]
    assert (found.level, words in found.what) == (level, True), found.what
    assert found.cure.startswith("set ")


def test_limits_of_what_is_not_used_are_not_compared() -> None:
    few = judge_timeouts(replace(WELL, has_workers=False, has_pods=False))
    assert len(few) == 3


def test_a_grace_period_must_be_longer_than_the_workers_own_limit() -> None:
    told = [finding.what for finding in judge_timeouts(replace(WELL, worker_shutdown_timeout=600.0))]
    assert any("worker_shutdown_timeout 600 s: what stops workers must wait longer" in what for what in told)
