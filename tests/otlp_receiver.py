"""An OpenTelemetry collector for tests, as far as it goes: it takes metrics and spans over HTTP and remembers them."""

from __future__ import annotations

import atexit
import gzip
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

_PREFIX = "airflow.hybrid_executor."


class Collector:
    """Listens on a free port of 127.0.0.1 for as long as the context is open, for other processes.

    :ivar spans: the names of all spans, as they came.
    """

    def __enter__(self) -> Self:
        self._metrics: dict[str, tuple[str, list[dict[str, str]]]] = {}
        self._lock = threading.Lock()
        self.spans: list[str] = []
        self._counts: dict[tuple[str, int, str], int] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                take = receiver._take_spans if self.path.endswith("/v1/traces") else receiver._take
                with receiver._lock:
                    take(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="otlp-receiver", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take_sums(self) -> dict[str, int]:
        """Return how far counters were raised since the last call, by all processes together."""
        with self._lock:
            counts, self._counts = self._counts, {}
        sums: Counter[str] = Counter()
        for (name, *_), count in counts.items():
            sums[name] += count
        return {name: count for name, count in sums.items() if count}

    def environment(self) -> dict[str, str]:
        """Return the environment variables that lead here, as OpenTelemetry has them."""
        return {
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}/v1/metrics",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
            "OTEL_TRACES_EXPORTER": "otlp_proto_http",
        }

    def names(self) -> set[str]:
        """Return the names of ours that have come, without the prefix."""
        return set(self._metrics)

    def kind(self, name: str) -> str:
        """Return what OpenTelemetry calls the kind of a metric."""
        return self._metrics[name][0]

    def tags(self, name: str) -> list[dict[str, str]]:
        """Return the attributes of the points that came last."""
        return self._metrics[name][1]

    def _take(self, body: bytes) -> None:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        request = ExportMetricsServiceRequest.FromString(body)
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.sum.data_points:  # each says how far it has come since its process began
                        one = (metric.name, point.start_time_unix_nano, str(point.attributes))
                        self._counts[one] = point.as_int
                    if metric.name.startswith(_PREFIX):
                        kind = str(metric.WhichOneof("data"))
                        points = getattr(metric, kind).data_points
                        tags = [{item.key: item.value.string_value for item in point.attributes} for point in points]
                        self._metrics[metric.name.removeprefix(_PREFIX)] = (kind, tags)

    def _take_spans(self, body: bytes) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        request = ExportTraceServiceRequest.FromString(body)
        self.spans += [
            span.name for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans
        ]


class OtlpReceiver(Collector):
    """A collector for this very process."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        from airflow._shared.observability.metrics import otel_logger
        from opentelemetry import metrics

        # The exporter's thread must not go on without its collector, and nothing is left to send when Python ends.
        atexit.unregister(otel_logger.flush_otel_metrics)
        provider: Any = metrics.get_meter_provider()
        provider.shutdown()
        super().__exit__(kind, error, at)

    def flush(self) -> None:
        """Have everything sent that was recorded."""
        from opentelemetry import metrics

        provider: Any = metrics.get_meter_provider()
        provider.force_flush()
