"""Writes ``examples/monitoring/grafana_dashboard.json``. Run ``python docs/render_dashboard.py`` after a change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hybrid_executor.metrics import Metric
from hybrid_executor.metrics import table as metric

ROOT = Path(__file__).resolve().parents[1]
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS, _HEIGHT = 3, 8


def rate(counter: Metric, *by: str) -> str:
    """Return the expression of a counter's rate in a minute."""
    return f"sum by ({', '.join(by)}) (rate({counter.prometheus_name}[$__rate_interval])) * 60"


def quantile(timer: Metric, *by: str, part: float = 0.95) -> str:
    """Return the expression of a timer's quantile."""
    rates = f"rate({timer.prometheus_name}_bucket[$__rate_interval])"
    return f"histogram_quantile({part}, sum by ({', '.join(('le', *by))}) ({rates}))"


def gauge(known: Metric, *by: str) -> str:
    """Return the expression of a gauge."""
    return f"sum by ({', '.join(by)}) ({known.prometheus_name})" if by else known.prometheus_name


_PANELS: tuple[tuple[str, str, str, str], ...] = (
    ("Waiting by queue", gauge(metric.QUEUE_DEPTH, "pool", "queue"), "{{pool}} {{queue}}", "short"),
    ("Age of the oldest that waits", gauge(metric.QUEUE_AGE, "pool", "queue"), "{{pool}} {{queue}}", "s"),
    ("Running by queue", gauge(metric.QUEUE_RUNNING, "pool", "queue"), "{{pool}} {{queue}}", "short"),
    ("Workers by queue", gauge(metric.QUEUE_WORKERS, "queue"), "{{queue}}", "short"),
    ("Workers alive", gauge(metric.WORKERS), "workers", "short"),
    ("Agents alive", gauge(metric.AGENTS), "agents", "short"),
    ("Submitted in a minute", rate(metric.SUBMITTED, "pool", "queue"), "{{pool}} {{queue}}", "short"),
    ("Ended in a minute", rate(metric.FINISHED, "pool", "state"), "{{pool}} {{state}}", "short"),
    ("From submission to start, 95%", quantile(metric.QUEUED_TIME, "pool", "queue"), "{{pool}} {{queue}}", "s"),
    ("From submission to pod, 95%", quantile(metric.LAUNCH_TIME, "cluster"), "{{cluster}}", "s"),
    ("From pod to container, 95%", quantile(metric.START_TIME, "cluster"), "{{cluster}}", "s"),
    (
        "Pods that wait to be created",
        gauge(metric.LAUNCHES_WAITING, "kube_namespace", "reason"),
        "{{kube_namespace}} {{reason}}",
        "short",
    ),
    ("Kubernetes requests in a minute", rate(metric.KUBE_REQUESTS, "verb", "code"), "{{verb}} {{code}}", "short"),
    (
        "Silence of the watch",
        gauge(metric.WATCH_AGE, "cluster", "kube_namespace"),
        "{{cluster}} {{kube_namespace}}",
        "s",
    ),
    ("Watches that began again, in a minute", rate(metric.WATCH_RESTARTS, "cluster", "cause"), "{{cause}}", "short"),
    ("Heartbeat of the executor, 99%", quantile(metric.HEARTBEAT_TIME, part=0.99), "99%", "s"),
    ("Lag of the events, 95%", quantile(metric.EVENTS_LAG), "95%", "s"),
    ("Redis could not be used, in a minute", rate(metric.REDIS_ERRORS, "role", "code"), "{{role}} {{code}}", "short"),
    ("Repairs in a minute", rate(metric.REPAIRED, "repair"), "{{repair}}", "short"),
    ("Task processes lost, in a minute", rate(metric.PROCESSES_LOST, "category"), "{{category}}", "short"),
    ("Leases lost, in a minute", rate(metric.LEASES_LOST, "lease"), "{{lease}}", "short"),
)


def render_dashboard() -> str:
    """Return the dashboard."""
    variable = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    dashboard = {
        "title": "Airflow hybrid executor",
        "uid": "airflow-hybrid-executor",
        "tags": ["airflow"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [variable]},
        "panels": [_panel(index, *panel) for index, panel in enumerate(_PANELS)],
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _panel(index: int, title: str, expression: str, legend: str, unit: str) -> dict[str, Any]:
    row, column = divmod(index, _COLUMNS)
    return {
        "id": index + 1,
        "title": title,
        "type": "timeseries",
        "datasource": _SOURCE,
        "gridPos": {"x": column * 8, "y": row * _HEIGHT, "w": 8, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "datasource": _SOURCE, "expr": expression, "legendFormat": legend}],
    }


if __name__ == "__main__":
    path = ROOT / "examples" / "monitoring" / "grafana_dashboard.json"
    path.write_text(render_dashboard(), encoding="utf-8")
