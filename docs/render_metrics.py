"""Writes ``docs/metrics.md`` and ``examples/monitoring/statsd_mapping.yml`` from the table of metrics.

Run ``python docs/render_metrics.py`` after you change the table. A test checks that both files are up to date.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hybrid_executor.metrics import METRICS, Metric

ROOT = Path(__file__).resolve().parents[1]

_HEAD = """\
# Metrics

Made by `docs/render_metrics.py` from the table in `hybrid_executor/metrics/table.py`.

The executor, the agents and the workers send numbers through Airflow's own stats. Nothing else is needed than Airflow's
section `[metrics]`, with the same values for schedulers, agents and workers. Airflow's other metrics, such as
`executor.open_slots`, are sent as always. If metrics are off, nothing is counted and nothing is sent.

StatsD, with tags in InfluxDB's format (`pip install 'apache-airflow[statsd]'`):

```ini
[metrics]
statsd_on = True
statsd_host = statsd.example.com
statsd_port = 8125
statsd_prefix = airflow
statsd_influxdb_enabled = True
```

OpenTelemetry:

```ini
[metrics]
otel_on = True
```

and in the environment `OTEL_EXPORTER_OTLP_ENDPOINT=http://collector.example.com:4318` and
`OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`.

## Names and tags

Every name below follows Airflow's prefix, so `queue.depth` is `airflow.hybrid_executor.queue.depth`.

| backend | form |
|---|---|
| OpenTelemetry, Datadog, StatsD with `statsd_influxdb_enabled` | the name, with tags |
| StatsD without tags | the values of the tags are parts of the name, in the order of the table: `airflow.hybrid_executor.queue.depth.celery.reports` |

A backend that cannot be reached, or that fails, delays and fails no task: a warning is logged, and it is tried again after
a minute.

In the value of a tag, every character but letters, digits and `_ - . /` becomes `_`, and an empty value is `none`.
Without tags, a `.` in a value becomes `__`, as in Airflow's own names. Values are cut to 60 characters.

Timers are milliseconds in StatsD and in OpenTelemetry. To OpenTelemetry, Airflow 3.2 sends a timer as a gauge with its
last value, and later releases as a histogram.

Metrics "of the whole instance" are sent by one scheduler for all: the schedulers share a lease (`lease:metrics`). It
counts every 15 s, and reads at most about 500 records in each loop of the scheduler. With 10,000 live attempts one
count takes about 20 loops. If no number comes at all, no scheduler runs, or it cannot use Redis.

"""  # noqa: E501

_TAIL = """\
## Prometheus and Grafana

`examples/monitoring/` has files to begin with:

| file | content |
|---|---|
| `statsd_mapping.yml` | mapping for `statsd_exporter`, made from this table: `statsd_exporter --statsd.mapping-config=statsd_mapping.yml`. It knows names with and without tags |
| `prometheus_rules.yml` | alert rules |
| `prometheus_rules_test.yml` | tests of these rules: `promtool test rules prometheus_rules_test.yml` |
| `grafana_dashboard.json` | a dashboard: import it, and choose the Prometheus data source |

In Airflow's Helm chart, put the mappings into `statsd.extraMappings`.

The names in these files are those of `statsd_exporter`: the column "in Prometheus" above. A counter ends with
`_total`. A timer is a histogram in seconds and ends with `_seconds` (and `_bucket`, `_sum`, `_count`). The collector of
OpenTelemetry makes the same names of counters and gauges. Of a timer it makes a histogram in milliseconds, which ends
with `_milliseconds`: in the rules and on the dashboard, change the names of timers and divide by 1000.

A gauge whose sender is gone keeps its last value in StatsD. So the mapping forgets gauges after five minutes.

## What to look at

| question | metric |
|---|---|
| Do tasks wait too long? | `queue.age`, `attempts.queued_time` |
| Does nobody serve a queue? | `queue.depth` above 0 and `queue.workers` 0 |
| How many workers are needed? | (`queue.depth` + `queue.running`) / slots of one worker: what [KEDA](kubernetes-deployment.md#scaling-with-keda) scales by |
| Why do pods not start? | `launches.waiting` by reason, `pods.launch_retries`, `kube.requests` by code |
| Is the watch of pods alive? | `watch.age` below 70 s, `watch.restarts` |
| Is Redis the trouble? | `redis.errors` by code |
| Does the scheduler suffer? | `heartbeat.time`, `events.lag` |
| Do workers die? | `worker.processes_lost`, `attempts.repaired` |
"""  # noqa: E501

_GROUPS = (
    ("Each scheduler", lambda m: m.by == "scheduler" and m.kind != "gauge"),
    ("The whole instance", lambda m: m.by == "scheduler" and m.kind == "gauge"),
    ("Each agent", lambda m: m.by == "agent"),
    ("Each worker", lambda m: m.by == "worker"),
    ("All of them", lambda m: m.by == "all"),
)


def render_page() -> str:
    """Return the page."""
    lines = [_HEAD.rstrip(), ""]
    for title, is_member in _GROUPS:
        lines += [f"## {title}", "", "| metric | kind | tags | meaning | in Prometheus |", "|---|---|---|---|---|"]
        lines += [_row(metric) for metric in METRICS if is_member(metric)]
        lines.append("")
    return "\n".join(lines) + "\n" + _TAIL


def _row(metric: Metric) -> str:
    kind = f"{metric.kind}, {metric.unit}" if metric.unit else metric.kind
    tags = ", ".join(f"`{tag}`" for tag in metric.tags)
    name = metric.name.removeprefix("hybrid_executor.")
    return f"| `{name}` | {kind} | {tags} | {metric.meaning} | `{metric.prometheus_name}` |"


def render_mapping() -> str:
    """Return the mapping of statsd_exporter."""
    lines = [
        "# Names for Prometheus. Made by docs/render_metrics.py from the table of metrics.",
        "# statsd_exporter --statsd.mapping-config=statsd_mapping.yml",
        "mappings:",
    ]
    for metric in METRICS:
        for with_values in (True, False) if metric.tags else (False,):
            lines += _mapping(metric, with_values=with_values)
    return "\n".join(lines) + "\n"


def _mapping(metric: Metric, *, with_values: bool) -> Iterator[str]:
    """Yield one mapping: for the name that ends with the tags' values, or for the name beside which tags stand."""
    yield f"  - match: airflow.{metric.name}{'.*' * len(metric.tags) if with_values else ''}"
    yield f"    name: {metric.prometheus_name}"
    if metric.kind == "timer":
        yield "    observer_type: histogram"
        yield "    histogram_options:"
        yield "      buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600]"
    if metric.kind == "gauge":
        yield "    ttl: 5m"
    if with_values:
        yield "    labels:"
        yield from (f"      {tag}: $${{{index}}}".replace("$$", "$") for index, tag in enumerate(metric.tags, 1))


if __name__ == "__main__":
    (ROOT / "docs" / "metrics.md").write_text(render_page(), encoding="utf-8")
    (ROOT / "examples" / "monitoring" / "statsd_mapping.yml").write_text(render_mapping(), encoding="utf-8")
