"""Where OpenTelemetry is on, tasks are forked from their parsed Dag file too, and export what others export.

``HYBRID_TEST_FORKS=100000`` makes the last test that long; one of 20 is a whole task.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.integration.workers.dag_files import dag
from tests.integration.workers.test_parsed_files import (  # noqa: F401 - the fixtures are used by name
    Bundle,
    bundle,
    pytestmark,
    returned,
    same,
    was_lent,
    workers,
)
from tests.otlp_receiver import Collector
from tests.waiting import wait_until

pytest.importorskip("airflow.sdk._shared.observability.traces", reason="Airflow 3.2 exports spans otherwise")

_FORKS = int(os.environ.get("HYBRID_TEST_FORKS", "60"))
_EXPORT = """
from airflow._shared.observability.metrics import stats
from airflow._shared.observability.traces import configure_otel
from airflow.configuration import conf
from airflow.observability.metrics import stats_utils
from opentelemetry import trace
configure_otel(conf)
stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
for number in range(1000):
    stats.incr("of_the_worker")
    trace.get_tracer("worker").start_span("of the worker").end()
"""
_NOTE_IMPORTS = """
import json, sys, threading
class Note:
    def find_spec(self, name, *_):
        if is_configured or threading.current_thread() is not threading.main_thread():
            imported.append(name)
imported, is_configured = [], False
sys.meta_path.insert(0, Note())
"""
_SHOW_IMPORTS = """
is_configured = True
trace.get_tracer_provider().force_flush()
stats.incr("of_the_worker")
from opentelemetry import metrics
metrics.get_meter_provider().force_flush()
print("SHOWN " + json.dumps(imported))
"""
_THREADS = """
import threading
show(sorted(thread.name for thread in threading.enumerate()[1:]))
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as started:
        yield started


def _options(collector: Collector) -> dict[str, str]:
    return {
        **collector.environment(),
        "AIRFLOW__METRICS__OTEL_ON": "True",
        "AIRFLOW__TRACES__OTEL_ON": "True",
        "OTEL_SERVICE_NAME": "airflow",
    }


def test_tasks_export_what_others_export_and_nothing_of_the_worker_is_lost(
    bundle: Bundle,  # noqa: F811
    collector: Collector,
) -> None:
    top = "import os\nfrom opentelemetry import trace\ntracer = trace.get_tracer('mine')\nparser = os.getpid()"
    body = "(tracer.start_span('of the task').end(), parser != os.getpid())[1]"
    bundle.write("plain.py", dag("plain", top, body))
    task = ["plain.py", "plain", "t"]
    exported = []
    for parse_seconds in (0, 300):
        [before, result, threads], output = bundle.run(
            task, task, _THREADS, prepare=_EXPORT, options=_options(collector), parse_seconds=parse_seconds
        )
        assert was_lent(output, "plain.py") == (2 if parse_seconds else 0), output
        assert returned(result) is bool(parse_seconds), output
        assert same(before).replace("true", "false") == same(result).replace("true", "false")
        # A slot has what every process has that is forked from one with an exporter.
        assert "OtelBatchSpanRecordProcessor" in threads
        wait_until(lambda: collector.spans.count("of the task") == 2, what=lambda: f"spans: {set(collector.spans)}")
        exported.append((sorted(collector.spans), collector.take_sums()))
        collector.spans.clear()
    (spans, sums), (spans_of_lent, sums_of_lent) = exported
    # The worker here ends without a flush: only what it was stopped for is certain to have come.
    assert spans_of_lent.count("of the worker") == sums_of_lent.pop("airflow.of_the_worker") == 1000
    sums.pop("airflow.of_the_worker", None)
    assert [name for name in spans_of_lent if name != "of the worker"] == [
        name for name in spans if name != "of the worker"
    ]
    assert spans.count("worker.t") == 2
    assert sums_of_lent == sums
    assert sums["airflow.ti.start"] == 2


def test_no_thread_that_exports_imports_a_module_while_tasks_are_forked(
    bundle: Bundle,  # noqa: F811
    collector: Collector,
) -> None:
    prepare = _NOTE_IMPORTS + _EXPORT + _SHOW_IMPORTS
    [imported], output = bundle.run(prepare=prepare, options=_options(collector), parse_seconds=0)
    assert {"of the worker"} == set(collector.spans)
    assert "airflow.of_the_worker" in collector.take_sums()
    assert imported == [], output


@pytest.mark.parametrize(
    "sends", ["from airflow.sdk.observability.stats import Stats\nStats.incr('x')", "tracer.start_span('x').end()"]
)
def test_a_file_that_sends_numbers_or_spans_when_it_is_parsed_is_parsed_by_each_task(
    bundle: Bundle,  # noqa: F811
    collector: Collector,
    sends: str,
) -> None:
    top = f"from opentelemetry import trace\ntracer = trace.get_tracer('mine')\n{sends}"
    bundle.write("sends.py", dag("sends", top, "1"))
    [result], output = bundle.run(["sends.py", "sends", "t"], prepare=_EXPORT, options=_options(collector))
    assert returned(result) == 1
    assert was_lent(output, "sends.py") == 0
    assert "Each task of sends.py parses it: it sends a metric or a span" in output


def test_an_exporter_that_is_not_airflows_own_keeps_its_thread_and_each_task_parses_its_file(
    bundle: Bundle,  # noqa: F811
    collector: Collector,
) -> None:
    bundle.write("plain.py", dag("plain", "", "1"))
    other = """
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
"""
    [result], output = bundle.run(
        "know = lambda *_: None",
        ["plain.py", "plain", "t"],
        prepare=_EXPORT + other,
        options=_options(collector),
        are_known=False,
    )
    assert result["code"] == 0
    assert was_lent(output, "plain.py") == 0


def test_no_fork_hangs_while_all_processes_export(bundle: Bundle, collector: Collector) -> None:  # noqa: F811
    bundle.write("plain.py", dag("plain", "", "1"))
    forks = f"""
import socket, threading
from collections import Counter
from hybrid_workers.parsed.slot import Wanted
from opentelemetry import trace

def fork_only():
    pairs = [socket.socketpair() for _ in range(4)]
    process = files._slot.borrow(Wanted("b", None, "plain.py"), [pair[0] for pair in pairs], own_group=True)
    for pair in pairs:
        pair[0].close()
    pairs[0][1].close()  # it ends when it asks what to do
    code = process and process.wait(600)
    for pair in pairs[1:]:
        pair[1].close()
    return code

def export():
    tracer = trace.get_tracer("busy")
    while not is_over.wait(0.01):  # no faster than they are exported: a task ends when none is left
        tracer.start_span("busy").end()

is_over = threading.Event()
busy = threading.Thread(target=export)
busy.start()
codes, begun = Counter(), time.monotonic()
for number in range({_FORKS}):
    if number % 20:
        codes[f"only forked: {{fork_only()}}"] += 1
    else:
        codes["task: %s" % run("plain.py", "plain", "t")["code"]] += 1
    if number % 1000 == 999:
        print(f"{{number + 1}} forks, {{time.monotonic() - begun:.0f}} s: {{dict(codes)}}", flush=True)
is_over.set()
busy.join()
show(codes)
"""
    often = {"OTEL_BSP_SCHEDULE_DELAY": "20"}  # ms
    [codes], output = bundle.run(forks, prepare=_EXPORT, options={**_options(collector), **often})
    whole = (_FORKS + 19) // 20
    assert codes == {"task: 0": whole, "only forked: 1": _FORKS - whole}, output
