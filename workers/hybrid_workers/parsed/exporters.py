"""OpenTelemetry's exporters: stopped before the nursery is forked, and started again in the worker and in each task.

An exporter sends from a thread of its own, with locks and connections that nobody may use in a process that is forked
meanwhile. Airflow starts that of spans when it is imported, and that of metrics with the first number. Only what
Airflow has made by itself from the environment is stopped. Whatever else has a thread keeps it: no nursery then.
"""

from __future__ import annotations

import atexit
import gc
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)

# That of gRPC has threads and locks outside of Python, which nobody can stop for certain.
_SPAN_EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_EXPORT = "opentelemetry.sdk.trace.export"
_STATS = ("airflow._shared.observability.metrics", "airflow.sdk._shared.observability.metrics")
_STOP_MILLISECONDS = 5_000  # to send what was recorded; a collector that does not answer must not delay the worker

_make_span_exporter: Callable[[], Any] | None = None
"""What makes the exporter of a task's spans, ``None`` where they are not exported. Forked processes inherit it."""


@contextmanager
def stopped() -> Iterator[None]:
    """Within the context, no exporter of Airflow has a thread in this process. What was recorded before is sent."""
    global _make_span_exporter
    has_stopped_metrics = _stop_metrics()
    _make_span_exporter = _stop_spans()
    if has_stopped_metrics or _make_span_exporter is not None:
        # A provider that is left over would start its thread in each forked process. The frozen heap may hold it.
        gc.unfreeze()
        gc.collect()
        gc.freeze()
    try:
        yield
    finally:
        start_spans()


def start_spans() -> None:
    """Export the spans of this process, if its worker exports its own. Those of metrics start with the first number."""
    if _make_span_exporter is None:
        return
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider: Any = trace.get_tracer_provider()
    provider.add_span_processor(BatchSpanProcessor(_make_span_exporter()))


def _imported(name: str) -> Any:
    return sys.modules.get(name)


def _stop_spans() -> Callable[[], Any] | None:
    """Stop the exporter of spans; return what makes another one, ``None`` where there was none that is known."""
    trace, sdk, export = map(_imported, ("opentelemetry.trace", "opentelemetry.sdk.trace", _EXPORT))
    if trace is None or sdk is None or export is None:
        return None
    provider = trace.get_tracer_provider()
    processors: Any = getattr(provider, "_active_span_processor", None)
    active: tuple[Any, ...] = getattr(processors, "_span_processors", ())
    if type(provider) is not sdk.TracerProvider or len(active) != 1 or type(active[0]) is not export.BatchSpanProcessor:
        return None
    make: Any = type(active[0].span_exporter)
    if make.__module__ != _SPAN_EXPORTER:
        return None
    active[0].shutdown()
    # Tracers keep their provider, and that its list of processors.
    processors._span_processors = ()
    return make  # type: ignore[no-any-return]


def _stop_metrics() -> bool:
    """Stop the exporters of metrics; Airflow makes others where it needs them. Return whether there was one.

    Airflow's core and its Task SDK have one each. Of these, OpenTelemetry knows the last that was made.
    """
    internal, sdk = map(_imported, ("opentelemetry.metrics._internal", "opentelemetry.sdk.metrics"))
    if internal is None or sdk is None:
        return False
    found = [getattr(internal, "_METER_PROVIDER", None)]
    for package in _STATS:
        stats, otel_logger = map(_imported, (f"{package}.stats", f"{package}.otel_logger"))
        if forget := getattr(stats, "_reset_backend_after_fork", None):
            found.append(getattr(getattr(stats, "_backend", None), "otel", None))
            forget()
        if flush := getattr(otel_logger, "flush_otel_metrics", None):
            atexit.unregister(flush)  # it would look for a provider
    providers: dict[int, Any] = {id(provider): provider for provider in found if type(provider) is sdk.MeterProvider}
    for provider in providers.values():
        try:
            provider.shutdown(timeout_millis=_STOP_MILLISECONDS)
        except Exception as error:  # noqa: BLE001 - it raises where the collector does not answer
            log.debug("What was measured so far could not be sent: %s", error)
    if not providers:
        return False
    # As Airflow does before it makes another one.
    internal._METER_PROVIDER_SET_ONCE._done = False
    internal._METER_PROVIDER = None
    if proxy := getattr(internal, "_PROXY_METER_PROVIDER", None):
        proxy._real_meter_provider = None
    return True
