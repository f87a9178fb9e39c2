"""How a metric of the table is sent, and that nothing happens where that fails or is off."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.config import DictConfig
from hybrid_executor.metrics import METRICS, SILENT, Metrics, MetricsSettings, open_metrics, read_metrics_settings
from hybrid_executor.metrics import table as metric
from hybrid_executor.metrics.sending import cleaned

ROOT = Path(__file__).parents[3]
SOURCES = sorted([*(ROOT / "hybrid_executor").rglob("*.py"), *(ROOT / "workers" / "hybrid_workers").rglob("*.py")])


class Heard:
    """Airflow's stats, as a list of what they are told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def incr(self, stat: str, count: int, *, tags: dict[str, Any] | None) -> None:
        self.calls.append(("incr", stat, count, tags))

    def gauge(self, stat: str, value: float, *, tags: dict[str, Any] | None) -> None:
        self.calls.append(("gauge", stat, value, tags))

    def timing(self, stat: str, dt: float, *, tags: dict[str, Any] | None) -> None:
        self.calls.append(("timing", stat, dt, tags))


class Broken(Heard):
    """Stats whose backend fails."""

    def incr(self, stat: str, count: int, *, tags: dict[str, Any] | None) -> None:
        super().incr(stat, count, tags=tags)
        raise RuntimeError("no collector")


def test_the_numbers_of_teams_are_told_apart() -> None:
    for has_tags, sent in (
        (True, ("gauge", "hybrid_executor.workers.alive", 3, {"team_name": "red"})),
        (False, ("gauge", "hybrid_executor.workers.alive.red", 3, None)),
    ):
        stats = Heard()
        Metrics(stats, has_tags=has_tags, team="red").gauge(metric.WORKERS, 3)
        assert stats.calls == [sent]
    assert read_metrics_settings(DictConfig({}, team="red")).team == "red"


def test_a_backend_with_tags_gets_tags_and_counters_are_added_up_until_they_are_sent() -> None:
    stats = Heard()
    metrics = Metrics(stats, has_tags=True)
    metrics.count(metric.SUBMITTED, pool="celery", queue="reports")
    metrics.count(metric.SUBMITTED, 2, pool="celery", queue="reports")
    metrics.gauge(metric.WORKERS, 3)
    metrics.time(metric.QUEUED_TIME, 1.5, pool="celery", queue="reports")
    metrics.flush()
    metrics.flush()
    tags = {"pool": "celery", "queue": "reports"}
    assert stats.calls == [
        ("gauge", "hybrid_executor.workers.alive", 3, None),
        ("timing", "hybrid_executor.attempts.queued_time", 1500.0, tags),
        ("incr", "hybrid_executor.attempts.submitted", 3, tags),
    ]


def test_a_backend_without_tags_gets_their_values_in_the_name() -> None:
    stats = Heard()
    metrics = Metrics(stats, has_tags=False)
    metrics.gauge(metric.QUEUE_DEPTH, 7, pool="celery", queue="team.a b")
    assert stats.calls == [("gauge", "hybrid_executor.queue.depth.celery.team__a_b", 7, None)]


@pytest.mark.parametrize(("value", "sent"), [("a:b|c,d=e", "a_b_c_d_e"), ("", "none"), ("x" * 99, "x" * 60)])
def test_a_value_that_backends_do_not_accept_is_changed(value: str, sent: str) -> None:
    assert cleaned(value) == sent


def test_a_backend_that_fails_is_left_alone_for_a_minute_and_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    stats, now = Broken(), 0.0
    metrics = Metrics(stats, has_tags=True, clock=lambda: now)
    for _ in range(3):
        metrics.count(metric.REJECTED)
        metrics.flush()
    assert len(stats.calls) == 1
    assert [record.message for record in caplog.records] == [
        "Metrics cannot be sent, trying again in 60 s; check section [metrics] of the configuration: "
        "RuntimeError: no collector"
    ]
    now = 61.0
    metrics.count(metric.REJECTED)
    metrics.flush()
    assert len(stats.calls) == 2


def test_nothing_is_kept_or_opened_where_metrics_are_off() -> None:
    assert open_metrics(MetricsSettings()) is SILENT
    SILENT.count(metric.SUBMITTED, pool="celery", queue="q")
    assert not SILENT.is_on
    assert not SILENT._counts


@pytest.mark.parametrize(
    ("section", "backend", "has_tags"),
    [
        ({}, None, True),
        ({"statsd_on": "True"}, "statsd", False),
        ({"statsd_on": "True", "statsd_influxdb_enabled": "true"}, "statsd", True),
        ({"otel_on": "True"}, "otel", True),
        ({"statsd_datadog_enabled": "True", "statsd_on": "True"}, "datadog", True),
    ],
)
def test_the_settings_are_airflows(section: dict[str, str], backend: str | None, has_tags: bool) -> None:
    found = read_metrics_settings(DictConfig({"metrics": section}))
    assert (found.backend, found.has_tags) == (backend, has_tags)


def calls() -> list[tuple[str, str, list[str | None], str]]:
    """Return each call of ours: method, the metric's name in the table's module, the tags, and where it is."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("count", "time", "gauge")
                and node.args
                and isinstance(node.args[0], ast.Attribute)
                and isinstance(node.args[0].value, ast.Name)
                and node.args[0].value.id == "metric"
            ):
                tags = [keyword.arg for keyword in node.keywords]
                found.append((node.func.attr, node.args[0].attr, tags, f"{path.name}:{node.lineno}"))
    return found


def test_each_call_gives_the_tags_of_the_table_in_their_order() -> None:
    methods = {"counter": "count", "timer": "time", "gauge": "gauge"}
    assert len(calls()) > 20
    for method, name, tags, place in calls():
        known: metric.Metric = getattr(metric, name)
        assert (method, tuple(tags)) == (methods[known.kind], known.tags), place


def test_names_are_unique_and_accepted_by_every_backend() -> None:
    names = [known.name for known in METRICS]
    assert len(names) == len(set(names))
    for known in METRICS:
        assert known.name == cleaned(known.name)
        assert known.meaning.endswith(".")
