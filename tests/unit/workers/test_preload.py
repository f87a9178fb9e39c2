"""What a worker imports before it forks is what its task processes need, and nothing that a fork must not share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_SECONDS

_DAG = """
import json, os, sys
from airflow.sdk import DAG, task

with DAG("d", schedule=None):
    @task
    def t():
        with open(os.environ["SEEN"], "w") as file:
            json.dump(sorted(sys.modules), file)
    t()
"""
_WORKER = """
import gc, json, os, ssl, sys, threading, uuid
import httpx
from hybrid_workers.preload import preload

preload(("colorsys", "no_such_module"))
made, make_context = [], ssl.create_default_context
ssl.create_default_context = lambda *args, **named: made.append(args) or make_context(*args, **named)
from airflow.executors.workloads import BundleInfo
from airflow.sdk.api.client import Client
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.execution_time.supervisor import ActivitySubprocess
from tests.unit.workers.test_fast_exit import RUN
from tests.waiting import PATIENCE_SECONDS

report = {
    "modules": sorted(sys.modules),
    "threads": threading.active_count(),
    "frozen": gc.get_freeze_count(),
    "sockets": [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")
                and os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")],
}
def answer(request):
    return httpx.Response(200, json=RUN) if request.url.path.endswith("/run") else httpx.Response(204)

process = ActivitySubprocess.start(
    what=TaskInstance(id=uuid.uuid4(), task_id="t", dag_id="d", run_id="r", try_number=1, dag_version_id=uuid.uuid4()),
    dag_rel_path="dag.py",
    bundle_info=BundleInfo(name="b"),
    client=Client(base_url="http://api", token="", transport=httpx.MockTransport(answer)),
)
report["exit_code"] = process.wait()
report["contexts"] = len(made)
print("REPORT" + json.dumps(report))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_task_process_imports_nothing_but_the_dag_that_its_parent_has_not(tmp_path: Path) -> None:
    tmp_path.joinpath("dag.py").write_text(_DAG)
    bundles = [
        {
            "name": "b",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(tmp_path)},
        }
    ]
    environment = {
        **os.environ,
        "SEEN": str(tmp_path / "seen"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
    }
    done = subprocess.run(
        [sys.executable, "-c", _WORKER],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("REPORT")]
    assert lines, done.stdout + done.stderr
    report = json.loads(lines[-1].removeprefix("REPORT"))
    assert report["exit_code"] == 0, done.stdout + done.stderr
    before = set(report["modules"])
    new = {name for name in json.loads((tmp_path / "seen").read_text()) if name not in before}
    # All that is left is the module of the Dag's own file.
    assert {name for name in new if not name.startswith("unusual_prefix_")} == set()
    assert "colorsys" in before
    assert report["frozen"] > 100_000
    assert (report["threads"], report["sockets"]) == (1, [])
    assert report["contexts"] == 0
