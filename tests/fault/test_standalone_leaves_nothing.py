"""``airflow hybrid standalone`` ends with everything that it started, whoever ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_executor.standalone.environment import clean_environment
from hybrid_executor.standalone.ports import choose_port
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for pid in processes_of(tmp_path):
        os.kill(pid, signal.SIGKILL)


def environment_of(home: Path) -> dict[str, str]:
    return {**clean_environment(os.environ), "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}


def ask(home: Path, *words: str) -> str:
    """Run a command as in another terminal, where nothing but the home is known."""
    command = [sys.executable, "-m", "airflow", "hybrid", *words]
    done = subprocess.run(command, env=environment_of(home), capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


def start(home: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "airflow", "hybrid", "standalone", "--port", str(choose_port()), *words]
    with (home / "log").open("wb") as log:
        return subprocess.Popen(command, env=environment_of(home), stdout=log, stderr=log, start_new_session=True)


def wait_until_ready(home: Path) -> None:
    wait_until(lambda: "Airflow is ready" in (home / "log").read_text(), seconds=200, what="Airflow is ready")


def processes_of(home: Path) -> list[int]:
    """Return every process that belongs to the Airflow below ``home``, whoever its parent is now."""
    mark = f"AIRFLOW_HOME={home}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_ctrl_c_stops_all_in_good_order(home: Path) -> None:
    standalone = start(home)
    wait_until_ready(home)
    assert len(processes_of(home)) > 10
    assert "instance" in ask(home, "status", "--json")
    assert '"kubernetes"' in ask(home, "routes", "gpu-large", "--json")
    standalone.send_signal(signal.SIGINT)
    assert standalone.wait(PATIENCE_SECONDS) == 0
    assert processes_of(home) == []
    assert not (home / "hybrid" / "running.json").exists()
    said = (home / "log").read_text()
    assert said.rstrip().endswith("stopped")
    assert said.index("scheduler     | ") < said.rindex("worker: Warm shutdown") < said.rindex("valkey        | ")


def test_nothing_outlives_it_when_it_is_killed_while_it_starts(home: Path) -> None:
    standalone = start(home)
    wait_until(lambda: len(processes_of(home)) > 10, what="its components are started")
    standalone.kill()
    standalone.wait()
    wait_until(lambda: not processes_of(home), seconds=30, what="no process is left")


def test_a_component_that_dies_ends_a_quiet_one_with_its_name_and_last_words(home: Path) -> None:
    standalone = start(home, "--quiet")
    wait_until_ready(home)
    password = json.loads((home / "hybrid" / "passwords.json").read_text())["admin"]
    wait_until(lambda: f"logs      {home}/hybrid/logs" in (home / "log").read_text(), what="all is said")
    said = (home / "log").read_text().splitlines()
    assert {line.partition(" ")[0] for line in said} == {"hybrid"}
    assert [line for line in said if password in line][1:] == [f"hybrid        |   password  {password}"]
    written = {path.name for path in (home / "hybrid" / "logs").iterdir() if path.stat().st_size}
    parts = ("migrate", "valkey", "sandbox", "api-server", "scheduler", "dag-processor", "triggerer", "worker")
    assert written == {f"{part}.log" for part in parts}
    (scheduler,) = [
        pid
        for pid in processes_of(home)
        if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"-m\0airflow\0scheduler\0")
        and b"guard.py" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(scheduler, signal.SIGKILL)
    assert standalone.wait(PATIENCE_SECONDS) == 1
    assert processes_of(home) == []
    last = (home / "log").read_text().rpartition("airflow hybrid: ")[2]
    assert last.startswith("scheduler ended unexpectedly with exit code 137.\nIts last lines:")
