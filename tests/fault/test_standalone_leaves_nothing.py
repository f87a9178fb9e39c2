"""``airflow hybrid standalone`` ends with everything that it started, whoever ends it.

``tests/e2e/test_local_kubernetes.py`` sees what happens when one of its components dies.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standalone import Standalone, processes_of
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[Standalone]:
    started = Standalone(tmp_path)
    yield started
    started.end()


def test_ctrl_c_stops_all_in_good_order(standalone: Standalone) -> None:
    standalone.wait_until_ready()
    assert len(processes_of(standalone.home)) > 10
    assert "instance" in standalone.ask("status", "--json")
    standalone.process.send_signal(signal.SIGINT)
    assert standalone.process.wait(PATIENCE_SECONDS) == 0
    assert processes_of(standalone.home) == []
    assert not (standalone.home / "hybrid" / "running.json").exists()
    said = standalone.said
    assert said.rstrip().endswith("stopped")
    assert said.index("scheduler     | ") < said.rindex("worker: Warm shutdown") < said.rindex("valkey        | ")


def test_nothing_outlives_it_when_it_is_killed_while_it_starts(standalone: Standalone) -> None:
    wait_until(lambda: len(processes_of(standalone.home)) > 10, what="its components are started")
    standalone.process.kill()
    standalone.process.wait()
    wait_until(lambda: not processes_of(standalone.home), what="no process is left")
