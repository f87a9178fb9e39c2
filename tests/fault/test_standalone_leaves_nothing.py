"""``airflow hybrid standalone`` ends with everything that it started, also if it or a part of it is killed.

``tests/e2e/test_local_kubernetes.py`` sees how Ctrl-C ends one that is ready.
"""

from __future__ import annotations

import os
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


def sandboxes_of(home: Path) -> list[int]:
    """Return the process of the sandbox, once it is started."""
    commands = {pid: Path(f"/proc/{pid}/cmdline") for pid in processes_of(home)}
    begins = f"{sys.executable}\0-m\0hybrid_executor.sandbox\0".encode()
    return [pid for pid, path in commands.items() if path.exists() and path.read_bytes().startswith(begins)]


def test_nothing_outlives_it_when_it_is_killed_while_it_starts(standalone: Standalone) -> None:
    wait_until(lambda: sandboxes_of(standalone.home), what="its components are started")
    standalone.process.kill()
    standalone.process.wait()
    wait_until(lambda: not processes_of(standalone.home), what="no process is left")


def test_a_component_that_dies_ends_it_with_its_name_and_last_words(standalone: Standalone) -> None:
    [sandbox] = wait_until(lambda: sandboxes_of(standalone.home), what="its components are started")
    wait_until(lambda: "sandbox       | " in standalone.said, what="it has said something")
    os.kill(sandbox, signal.SIGKILL)
    assert standalone.process.wait(PATIENCE_SECONDS) == 1
    assert processes_of(standalone.home) == []
    last = standalone.said.rpartition("airflow hybrid: ")[2]
    assert last.startswith("sandbox ended unexpectedly with exit code 137.\nIts last lines:")
