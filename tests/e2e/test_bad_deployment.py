"""``airflow scheduler`` on a deployment that cannot work: it ends, and says what to set or run.

``tests/integration/test_executor.py`` has the other errors at start, without a process for each.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hybrid_executor.standalone.environment import clean_environment
from tests.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_without_a_redis_the_scheduler_ends_and_names_the_ways_out(airflow_db: None, tmp_path: Path) -> None:
    (tmp_path / "airflow.cfg").write_text("")
    shutil.copy(Path(os.environ["AIRFLOW_HOME"], "airflow.db"), tmp_path)
    environment = {
        **clean_environment(os.environ),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__EXECUTOR": "hybrid_executor.HybridExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    command = [sys.executable, "-m", "airflow", "scheduler"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    for way_out in ("[hybrid_executor] redis_url", "[celery] broker_url", "airflow hybrid standalone"):
        assert way_out in said
