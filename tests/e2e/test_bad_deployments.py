"""``airflow scheduler`` on a deployment that cannot work: it ends, and says what to set or run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_executor.sandbox.valkey import valkey_command
from hybrid_executor.standalone.environment import clean_environment
from hybrid_executor.standalone.ports import choose_port, is_listening
from hybrid_executor.standalone.process import GuardedProcess
from tests.e2e.conftest import wait_until
from tests.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture
def home(airflow_db: None, tmp_path: Path) -> Path:
    """Airflow's home with a migrated database."""
    (tmp_path / "airflow.cfg").write_text("")
    shutil.copy(Path(os.environ["AIRFLOW_HOME"], "airflow.db"), tmp_path)
    return tmp_path


@pytest.fixture
def valkey_port(tmp_path: Path) -> Iterator[int]:
    """Port of a Valkey that asks for a password."""
    port = choose_port()
    command = valkey_command(data_dir=tmp_path, port=port, password="right")
    process = GuardedProcess(command, environment=os.environ, grace_seconds=5, on_line=lambda line: None)
    wait_until(lambda: is_listening(port), seconds=10, what="Valkey is up")
    yield port
    process.stop()
    assert process.wait(timeout_seconds=PATIENCE_SECONDS)


def run_airflow_command(home: Path, *arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **clean_environment(os.environ),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__EXECUTOR": "hybrid_executor.HybridExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        **{f"AIRFLOW__{name}".upper(): value for name, value in options.items()},
    }
    command = [sys.executable, "-m", "airflow", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)


def test_without_a_redis_the_scheduler_ends_and_names_the_ways_out(home: Path) -> None:
    done = run_airflow_command(home, "scheduler")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    for way_out in ("[hybrid_executor] redis_url", "[celery] broker_url", "airflow hybrid standalone"):
        assert way_out in said


def test_a_wrong_password_ends_the_scheduler_without_showing_the_password(home: Path, valkey_port: int) -> None:
    url = f"redis://:mistaken@127.0.0.1:{valkey_port}/0"
    done = run_airflow_command(home, "scheduler", hybrid_executor__redis_url=url)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "password" in said
    assert "mistaken" not in said


def test_an_unknown_pool_in_a_route_ends_the_scheduler_and_names_the_pools(home: Path) -> None:
    done = run_airflow_command(home, "scheduler", hybrid_executor__routes="gpu=kubernets, *=celery")
    assert done.returncode != 0
    assert "unknown pool 'kubernets' in 'gpu=kubernets'; write one of celery, kubernetes, local" in (
        done.stdout + done.stderr
    )
