"""Airflow's stats in the supported releases, and whether they are on.

This is not in ``hybrid_executor.compat``: agents send metrics too, and must not import Airflow's executors. What a
release can do is found out from its functions, never from its version number.
"""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from typing import Any, Literal

from hybrid_executor.config import ConfigSource
from hybrid_executor.metrics.sending import SILENT, Metrics

log = logging.getLogger(__name__)

Backend = Literal["datadog", "statsd", "otel"]
_SWITCHES: tuple[tuple[str, Backend], ...] = (
    # In Airflow's order: the first that is on wins.
    ("statsd_datadog_enabled", "datadog"),
    ("statsd_on", "statsd"),
    ("otel_on", "otel"),
)


@dataclass(frozen=True)
class MetricsSettings:
    """What ``[metrics]`` says.

    :ivar backend: where numbers go, ``None`` for nowhere.
    :ivar has_tags: the backend knows tags.
    :ivar team: the team whose numbers are sent, "" for none.
    """

    backend: Backend | None = None
    has_tags: bool = False
    team: str = ""


def read_metrics_settings(conf: ConfigSource) -> MetricsSettings:
    """Return the settings in section ``[metrics]``, which is Airflow's own."""

    def is_on(name: str) -> bool:
        return str(conf.get("metrics", name, fallback="False")).strip().lower() in ("true", "t", "1")

    backend = next((backend for switch, backend in _SWITCHES if is_on(switch)), None)
    # Airflow's StatsD client knows tags only in InfluxDB's format, as part of the name.
    return MetricsSettings(backend, has_tags=backend != "statsd" or is_on("statsd_influxdb_enabled"), team=conf.team)


def open_metrics(settings: MetricsSettings, *, is_initialized: bool = False) -> Metrics:
    """Return what sends metrics in this process. Never raises: without its stats, Airflow works too.

    :param is_initialized: Airflow has prepared its stats in this process already, as in a scheduler.
    """
    if settings.backend is None:
        return SILENT
    try:
        stats: Any = _find_stats()
        if not is_initialized:
            _initialize(stats)
    except Exception as error:  # noqa: BLE001 - work goes on without numbers
        log.error("No metrics are sent, since Airflow's stats cannot be used: %s: %s", type(error).__name__, error)
        return SILENT
    return Metrics(stats, has_tags=settings.has_tags, team=settings.team)


def _find_stats() -> Any:
    """Return the object of Airflow with ``incr``, ``gauge`` and ``timing``."""
    from airflow.observability.stats import Stats

    return Stats


def _initialize(stats: Any) -> None:
    """Prepare Airflow's stats as its own processes do. Nothing is connected yet."""
    from airflow.observability.metrics import stats_utils

    make_factory: Any = stats_utils.get_stats_factory
    # Airflow 3.2 asks for the class; later releases have no need for it, and ask about names that are not ours.
    arguments = [stats] if inspect.signature(make_factory).parameters else []
    knows_legacy_names = "export_legacy_names" in inspect.signature(stats.initialize).parameters
    stats.initialize(factory=make_factory(*arguments), **({"export_legacy_names": False} if knows_legacy_names else {}))
