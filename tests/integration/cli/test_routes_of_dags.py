"""``airflow hybrid routes --dags`` as it is called from a shell, with a broken Dag file among good ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import QUIET
from tests.waiting import PATIENCE_SECONDS

GOOD = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

print("a Dag file that prints")
with DAG("good"):
    EmptyOperator(task_id="worker", executor_config={"pod_override": None})
    EmptyOperator(task_id="pod", queue="gpu-large")
"""
UNKNOWN_EXECUTOR = GOOD.replace('"good"', '"unknown"').replace('queue="gpu-large"', 'executor="CeleryExecutor"')


@pytest.fixture
def home(tmp_path: Path, airflow_db: None) -> Path:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "good.py").write_text(GOOD)
    (dags / "unknown.py").write_text(UNKNOWN_EXECUTOR)
    (dags / "broken.py").write_text("from airflow.sdk import DAG\nraise ValueError('not today')\n")
    return tmp_path


def call(home: Path, redis_url: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        **QUIET,
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__EXECUTOR": "hybrid_executor.HybridExecutor",
        "AIRFLOW__HYBRID_EXECUTOR__REDIS_URL": redis_url,
        "AIRFLOW__HYBRID_EXECUTOR__ROUTES": "gpu-*=kubernetes, *=celery",
        "AIRFLOW__HYBRID_EXECUTOR__ROUTS": "misspelt",
    }
    command = [sys.executable, "-m", "airflow", "hybrid", "routes", *words]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )


def test_every_task_is_listed_and_what_is_wrong_is_named_beside(home: Path, redis_url: str) -> None:
    done = call(home, redis_url, "--dags", "-o", "json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    rows = {row["task"]: row for row in found["tasks"] if row["dag"] == "good"}
    assert (rows["pod"]["queue"], rows["pod"]["pool"], rows["pod"]["warnings"]) == ("gpu-large", "kubernetes", [])
    assert rows["worker"]["pool"] == "celery"
    assert [words.split(",")[0] for words in rows["worker"]["warnings"]] == [
        "executor_config is ignored",
        "No living worker serves the queue default: run airflow hybrid worker --queues default",
    ]
    broken = {file["path"]: file["reason"] for file in found["broken"]}
    assert broken["broken.py"] == "ValueError: not today"
    assert "CeleryExecutor" in broken.get("unknown.py", "CeleryExecutor")
    assert "broken.py cannot be read, so its tasks are missing: ValueError: not today" in done.stderr
    warning = "airflow hybrid: warning: AIRFLOW__HYBRID_EXECUTOR__ROUTS has no effect: there is no such option."
    assert done.stderr.count(warning) == 1
