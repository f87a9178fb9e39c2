"""Configurations of real deployments: what is proposed, read as the scheduler reads it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from airflow.configuration import AirflowConfigParser

from hybrid_executor.config.celery import read_celery_settings
from hybrid_executor.config.kubernetes import read_kubernetes_settings
from hybrid_executor.config.settings import Settings
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.config.source import AirflowConfig
from hybrid_executor.migration.config_text import ConfigText
from hybrid_executor.migration.configuration import Configuration
from hybrid_executor.migration.environment import EnvironmentText
from hybrid_executor.migration.report import Report, Request, migrate

CORPUS = Path(__file__).parents[2] / "migration_corpus"
REDIS = "redis://redis.example.com:6379/0"


@dataclass(frozen=True)
class Case:
    """A deployment.

    :ivar edits: lines of the file that are replaced. :ivar options: arguments of the request.
    :ivar before: pool of each queue with the old executor; "" is a task without a queue.
    """

    file: str
    executor: str
    before: Mapping[str, str]
    edits: Mapping[str, str] = field(default_factory=dict)
    redis_url: str | None = None


GENERATED = "airflow-2.10.5.cfg"
CASES = {
    "CeleryKubernetesExecutor of 2.10": Case(
        GENERATED,
        "hybrid_executor.HybridExecutor",
        {"": "celery", "default": "celery", "pods": "kubernetes", "kubernetes": "celery"},
        {
            "executor = SequentialExecutor": "executor = CeleryKubernetesExecutor",
            "kubernetes_queue = kubernetes": "kubernetes_queue = pods",
        },
    ),
    "LocalKubernetesExecutor of 2.10": Case(
        GENERATED,
        "hybrid_executor.LocalKubernetesExecutor",
        {"": "local", "any": "local", "kubernetes": "kubernetes"},
        {"executor = SequentialExecutor": "executor = LocalKubernetesExecutor"},
        REDIS,
    ),
    "CeleryExecutor of 2.10": Case(
        GENERATED,
        "hybrid_executor.HybridExecutor",
        {"": "celery", "kubernetes": "celery", "etl": "celery"},
        {"executor = SequentialExecutor": "executor = CeleryExecutor"},
    ),
    "KubernetesExecutor of 2.10": Case(
        GENERATED,
        "hybrid_executor.KubernetesExecutor",
        {"": "kubernetes", "kubernetes": "kubernetes", "etl": "kubernetes"},
        {"executor = SequentialExecutor": "executor = KubernetesExecutor"},
        REDIS,
    ),
    "several executors of 2.10": Case(
        GENERATED,
        "hybrid_executor.HybridExecutor",
        {"": "celery", "etl": "celery"},
        {"executor = SequentialExecutor": "executor = CeleryExecutor,KubernetesExecutor"},
    ),
    "KubernetesExecutor of 2.7": Case(
        "kubernetes-2.7.cfg", "hybrid_executor.KubernetesExecutor", {"": "kubernetes"}, redis_url=REDIS
    ),
    "CeleryExecutor with RabbitMQ of 2.9": Case(
        "celery-rabbitmq-2.9.cfg", "hybrid_executor.HybridExecutor", {"": "celery", "etl": "celery"}, redis_url=REDIS
    ),
    "several executors of 3.1": Case(
        "multi-3.1.cfg", "hybrid_executor.HybridExecutor", {"": "celery", "etl": "celery"}
    ),
    "pods first, with a team": Case(
        "kubernetes-first-3.2.cfg",
        "hybrid_executor.HybridExecutor;team_a=LocalExecutor",
        {"": "kubernetes", "etl": "kubernetes", "kubernetes": "kubernetes"},
    ),
    "Compose file of 2.10": Case(
        "compose/docker-compose-2.10.yaml",
        "hybrid_executor.HybridExecutor",
        {"": "celery", "kubernetes": "celery"},
    ),
    "LocalKubernetesExecutor in .env": Case(
        "compose/local-kubernetes.env",
        "hybrid_executor.LocalKubernetesExecutor",
        {"": "local", "pods": "kubernetes", "kubernetes": "local"},
        redis_url=REDIS,
    ),
    "values of a Helm chart": Case(
        "helm/values-kubernetes.yaml", "hybrid_executor.KubernetesExecutor", {"": "kubernetes"}, redis_url=REDIS
    ),
}
every_case = pytest.mark.parametrize("name", CASES)


def configuration_of(case: Case) -> Configuration:
    text = (CORPUS / case.file).read_text(encoding="utf-8")
    for old, new in case.edits.items():
        assert old in text
        text = text.replace(old, new)
    if case.file.endswith(".cfg"):
        return Configuration(ConfigText(case.file, text))
    return Configuration(environment_file=EnvironmentText(case.file, text))


def migrate_case(case: Case) -> Report:
    return migrate(configuration_of(case), Request(redis_url=case.redis_url, airflow_version="3.3.2"))


@pytest.fixture
def read_as_scheduler(monkeypatch: pytest.MonkeyPatch) -> Callable[[Configuration], AirflowConfig]:
    """Return a function that reads a configuration with Airflow's own parser and environment."""

    def read(configuration: Configuration) -> AirflowConfig:
        for name in [name for name in os.environ if name.startswith("AIRFLOW__")]:
            monkeypatch.delenv(name)
        for name, value in configuration.variables.items():
            monkeypatch.setenv(name, value)
        parser = AirflowConfigParser()
        parser.read_string(configuration.file.text if configuration.file else "")
        return AirflowConfig(parser)

    return read


@every_case
def test_each_queue_goes_where_it_went(name: str, read_as_scheduler: Callable[[Configuration], AirflowConfig]) -> None:
    case = CASES[name]
    report = migrate_case(case)
    assert report.new_executor == case.executor
    assert not report.is_blocked
    conf = read_as_scheduler(report.configuration)
    assert conf.get("core", "executor") == case.executor
    settings: Settings = read_configured_settings(conf)
    default_queue = conf.get("operators", "default_queue", fallback="default") or "default"
    after = {queue: settings.routes.find(queue or default_queue).pool for queue in case.before}
    assert after == case.before
    assert settings.redis is not None
    read_celery_settings(conf)
    read_kubernetes_settings(conf)


@every_case
def test_what_is_proposed_needs_no_second_change(name: str) -> None:
    case = CASES[name]
    report = migrate_case(case)
    again = migrate(report.configuration, Request(redis_url=case.redis_url, airflow_version="3.3.2"))
    assert again.diff == ""
    assert not again.is_blocked
    # What only a person can know is asked for again.
    assert subjects(again, "change") <= {"[api_auth] jwt_secret", "pod template"}


@every_case
def test_only_lines_that_must_change_are_changed(name: str) -> None:
    case = CASES[name]
    report = migrate_case(case)
    old, new = configuration_of(case), report.configuration
    before = (old.file or old.environment_file).text.splitlines()  # type: ignore[union-attr]
    after = (new.file or new.environment_file).text.splitlines()  # type: ignore[union-attr]
    removed = [line for line in before if line not in after]
    assert len(removed) <= 8
    assert [line for line in removed if line.startswith("#")] == []
    if case.file == GENERATED:
        assert removed == [line for line in case.edits.values() if line.startswith("executor")]


def test_moved_options_keep_their_values(read_as_scheduler: Callable[[Configuration], AirflowConfig]) -> None:
    pods = read_as_scheduler(migrate_case(CASES["KubernetesExecutor of 2.7"]).configuration)
    settings = read_kubernetes_settings(pods)
    assert (settings.namespace, settings.image) == ("airflow", "apache/airflow:2.7.3")
    assert settings.delete_options == {"gracePeriodSeconds": 10}
    assert pods.get("scheduler", "task_queued_timeout") == "900"

    workers = read_as_scheduler(migrate_case(CASES["CeleryExecutor with RabbitMQ of 2.9"]).configuration)
    celery = read_celery_settings(workers)
    assert celery.default_queue == "etl"
    assert celery.values["pool"] == "prefork"
    assert celery.values["worker_concurrency"] == 1
    assert celery.broker.url == "amqp://airflow:a%40b@rabbitmq:5672/airflow"


def test_a_redis_that_nobody_has_named_blocks() -> None:
    case = CASES["KubernetesExecutor of 2.7"]
    report = migrate(configuration_of(case), Request(airflow_version="3.3.2"))
    assert [finding.subject for finding in report.findings if finding.kind == "blocked"] == [
        "[hybrid_executor] redis_url"
    ]


def test_a_wrong_value_blocks_and_says_what_to_write() -> None:
    case = Case(
        GENERATED,
        "",
        {},
        {
            "executor = SequentialExecutor": "executor = CeleryKubernetesExecutor",
            "worker_concurrency = 16": "worker_concurrency = many",
            "tcp_keep_idle = 120": "tcp_keep_idle = never",
        },
    )
    blocked = [finding.what for finding in migrate_case(case).findings if finding.kind == "blocked"]
    assert len(blocked) == 2
    assert any("worker_concurrency" in words and "write" in words for words in blocked)
    assert any("tcp_keep_idle" in words and "write" in words for words in blocked)


def test_options_without_effect_are_named_with_their_reason() -> None:
    report = migrate_case(CASES["CeleryExecutor with RabbitMQ of 2.9"])
    gone = {finding.subject: finding.why for finding in report.findings if finding.kind == "gone"}
    assert set(gone) == {"[celery] result_backend", "[celery] sync_parallelism", "[celery] worker_precheck"}
    assert all(gone.values())


def ours() -> Configuration:
    text = (
        "[core]\nexecutor = hybrid_executor.HybridExecutor\n[celery]\nbroker_url = redis://redis.example.com/0\n"
        "[api_auth]\njwt_secret = " + "x" * 64 + "\n[hybrid_executor]\nroutes = *=celery\n"
    )
    return Configuration(ConfigText("airflow.cfg", text))


def test_a_deployment_that_has_this_executor_needs_nothing() -> None:
    report = migrate(ours(), Request(airflow_version="3.3.2"))
    assert not report.needs_work
    assert report.diff == ""


def test_dags_of_a_deployment_that_has_this_executor_are_checked(tmp_path: Path) -> None:
    (tmp_path / "dag.py").write_text("BashOperator(task_id='a', executor='KubernetesExecutor')\n")
    (tmp_path / "own.py").write_text("BashOperator(task_id='a', executor='HybridExecutor')\n")
    report = migrate(ours(), Request(dags=tmp_path, airflow_version="3.3.2"))
    assert subjects(report, "change") == {"dag.py:1"}


def subjects(report: Report, kind: str) -> set[str]:
    return {finding.subject for finding in report.findings if finding.kind == kind}


def test_what_tasks_of_airflow_3_need_is_asked_for_once_it_is_missing() -> None:
    old = configuration_of(CASES["CeleryKubernetesExecutor of 2.10"])
    request = Request(airflow_version="3.3.2", api_url="http://api.example.com:8080/execution/")
    report = migrate(old, Request(airflow_version="3.3.2"))
    assert "[api_auth] jwt_secret" in subjects(report, "change")
    assert "[core] execution_api_server_url" in subjects(report, "check")

    assert "[api_auth] jwt_secret" in subjects(migrate(old, request), "change")

    known = migrate(old.set("api_auth", "jwt_secret", "x" * 64), request)
    assert "[api_auth] jwt_secret" not in subjects(known, "change") | subjects(known, "check")
    assert known.configuration.get("core", "execution_api_server_url") == request.api_url


def test_options_of_airflow_2_that_are_not_about_executors_are_left_to_airflow() -> None:
    from airflow.cli.commands.config_command import CONFIGS_CHANGES

    changes = [(row.config.section, row.config.option) for row in CONFIGS_CHANGES if row.was_removed]
    old = configuration_of(CASES["CeleryKubernetesExecutor of 2.10"])
    report = migrate(old, Request(airflow_version="3.3.2", airflow_changes=changes))
    (finding,) = [one for one in report.findings if one.subject.endswith("options of Airflow 2")]
    assert "airflow config update" in finding.instead
    assert report.configuration.get("core", "check_slas") == "True"
    assert "[core] auth_manager" in subjects(report, "check")


def test_with_several_executors_unfinished_runs_are_mentioned() -> None:
    assert "unfinished runs" in subjects(migrate_case(CASES["several executors of 3.1"]), "behaviour")
    assert "unfinished runs" not in subjects(migrate_case(CASES["CeleryExecutor of 2.10"]), "behaviour")


def test_a_pod_that_is_refused_for_now_fails_only_where_the_option_says_so() -> None:
    def retries(name: str) -> str:
        found = migrate_case(CASES[name]).findings
        return next(one.what for one in found if one.subject == "creation of a pod that is refused for now")

    assert "fails the task at once" in retries("KubernetesExecutor of 2.10")
    assert "are retried" in retries("KubernetesExecutor of 2.7")


def test_routes_that_are_set_already_stay_and_are_checked() -> None:
    text = (
        "[core]\nexecutor = CeleryExecutor\n[celery]\nbroker_url = redis://redis.example.com/0\n"
        "[hybrid_executor]\nroutes = default=kubernetes, *=celery\n"
    )
    report = migrate(Configuration(ConfigText("airflow.cfg", text)), Request(airflow_version="3.3.2"))
    assert report.configuration.get("hybrid_executor", "routes") == "default=kubernetes, *=celery"
    (blocked,) = [one for one in report.findings if one.kind == "blocked"]
    assert blocked.instead == "write default=celery in front of the other routes"


def test_a_broker_that_a_command_gives_is_not_guessed() -> None:
    text = "[core]\nexecutor = CeleryExecutor\n[celery]\nbroker_url_cmd = cat /run/secrets/broker\n"
    report = migrate(Configuration(ConfigText("airflow.cfg", text)), Request(airflow_version="3.3.2"))
    assert "[hybrid_executor] redis_url" in subjects(report, "check")
    assert report.configuration.get("hybrid_executor", "redis_url") is None
    assert report.configuration.get("celery", "broker_url_cmd") == "cat /run/secrets/broker"


def test_every_place_that_a_finding_names_exists() -> None:
    root = CORPUS.parents[1]
    for name in CASES:
        for finding in migrate_case(CASES[name]).findings:
            page, _, anchor = finding.documented.partition("#")
            if not page.endswith(".md"):
                continue
            text = (root / page).read_text(encoding="utf-8")
            headings = {
                re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
                for line in text.splitlines()
                if line.startswith("#")
            }
            assert not anchor or anchor in headings, finding.documented


def test_a_module_with_celery_settings_is_not_imported_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "celery_settings_of_a_test.py").write_text("raise SystemExit('was imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = (
        "[core]\nexecutor = CeleryExecutor\n[celery]\nbroker_url = redis://redis.example.com/0\n"
        "celery_config_options = celery_settings_of_a_test.CONFIG\n"
    )
    report = migrate(Configuration(ConfigText("airflow.cfg", text)), Request(airflow_version="3.3.2"))
    assert "[celery] celery_config_options" in subjects(report, "check")
    assert report.configuration.get("celery", "celery_config_options") == "celery_settings_of_a_test.CONFIG"


def test_a_pause_between_two_loops_is_mentioned_while_there_is_one() -> None:
    old = configuration_of(CASES["CeleryKubernetesExecutor of 2.10"])
    request = Request(airflow_version="3.3.2")
    assert "start of the next task" in subjects(migrate(old, request), "behaviour")
    quick = old.set("scheduler", "scheduler_idle_sleep_time", "0")
    assert "start of the next task" not in subjects(migrate(quick, request), "behaviour")
