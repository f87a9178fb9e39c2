"""What ps shows of a task process: idle between two tasks, whatever Airflow's supervisor has set."""

from __future__ import annotations

import pytest
from setproctitle import getproctitle, setproctitle

from hybrid_executor.events import AttemptId
from hybrid_workers.titles import show_idle, showing

IDLE = "airflow hybrid worker -- w@host: idle"


@pytest.fixture(autouse=True)
def _keep_title() -> object:
    before = getproctitle()
    yield
    setproctitle(before)


def test_a_process_without_a_task_is_idle() -> None:
    show_idle("w@host")
    assert getproctitle() == IDLE


def test_it_is_idle_again_after_a_task_and_after_a_failure() -> None:
    with showing("w@host", AttemptId("a1")):
        assert getproctitle() == "airflow hybrid worker -- w@host: attempt a1"
        setproctitle("airflow supervisor: dag.task")
    assert getproctitle() == IDLE
    with pytest.raises(RuntimeError), showing("w@host", AttemptId("a2")):
        raise RuntimeError
    assert getproctitle() == IDLE
