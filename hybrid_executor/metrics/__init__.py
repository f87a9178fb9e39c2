"""Numbers for people who run a deployment, through Airflow's own stats: StatsD, Datadog or OpenTelemetry.

Belongs here: the table of metrics, and how one of them is sent in each release of Airflow. Does not belong here: what
is counted, and when. Nothing is sent that is not in the table. Sending never raises, and costs nothing where Airflow's
metrics are off.
"""

from __future__ import annotations

from hybrid_executor.metrics.airflow_stats import MetricsSettings, open_metrics, read_metrics_settings
from hybrid_executor.metrics.sending import SILENT, Metrics
from hybrid_executor.metrics.table import METRICS, Metric

__all__ = ["METRICS", "SILENT", "Metric", "Metrics", "MetricsSettings", "open_metrics", "read_metrics_settings"]
