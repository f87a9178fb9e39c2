"""What runs in a warm pod: one line in, one workload, and an exit code that says when nothing ran.

Airflow is a stand-in here, so that each run takes a moment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest

from hybrid_executor.kube import warm_pod
from hybrid_executor.kube.warm_pod import NOTHING_RAN, READY, acceptance_in, hand_over_line

PROGRAM = resources.files("hybrid_executor.agent.warm").joinpath("program.py").read_text()
AIRFLOW = {
    "airflow/__init__.py": "",
    "airflow/executors/__init__.py": "",
    "airflow/executors/workloads.py": "All = dict[str, str]",
    "airflow/sdk/__init__.py": "",
    "airflow/sdk/execution_time/__init__.py": "",
    "airflow/sdk/execution_time/execute_workload.py": (
        "import signal, sys\n"
        "def execute_workload(workload):\n"
        "    print('task', sorted(workload), repr(sys.stdin.read()), signal.getsignal(signal.SIGTERM).name)\n"
    ),
}
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    for name, text in AIRFLOW.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    started: list[subprocess.Popen[str]] = []

    def run(seconds: str = "300", *more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, seconds, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == f"{READY}\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_it_runs_the_first_line_and_nothing_else(start: Start) -> None:
    lines = "".join(
        f"{hand_over_line(attempt, payload)}\n" for attempt, payload in (("a-1", '{"k": "v"}'), ("a-2", "{}"))
    )
    output, _ = (process := start()).communicate(lines, timeout=300)
    assert output.splitlines() == ["hybrid-executor: accepted a-1", "task ['k'] '' SIG_DFL"]
    assert process.returncode == 0
    assert acceptance_in(f"{READY}\n{output}", "a-1") == "accepted"


@pytest.mark.parametrize("lines", ["", 'a-1 {"token": "sec'])
def test_an_attachment_that_ends_before_the_line_is_whole_runs_nothing(start: Start, lines: str) -> None:
    output, _ = (process := start()).communicate(lines, timeout=300)
    assert (output, process.returncode) == ("", NOTHING_RAN)


def test_in_a_pod_of_its_own_nothing_is_imported_before_the_workload_has_come(start: Start, tmp_path: Path) -> None:
    process = start("300", "on-demand")
    (tmp_path / "airflow/executors/workloads.py").write_text("All = dict[str, str]\nprint('imported')")
    output, _ = process.communicate('a-1 {"k": "v"}\n', timeout=300)
    assert output.splitlines() == ["hybrid-executor: accepted a-1", "imported", "task ['k'] '' SIG_DFL"]
    assert process.returncode == 0


def test_deleting_a_pod_that_waits_runs_nothing(start: Start) -> None:
    process = start()
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == NOTHING_RAN


def test_it_does_not_wait_for_ever(start: Start) -> None:
    assert start("0.1").wait(300) == NOTHING_RAN


def test_a_workload_that_cannot_be_read_is_a_failure_that_does_not_show_it(start: Start) -> None:
    output, _ = (process := start()).communicate('a-1 {"token": "secret"\n', timeout=300)
    assert process.returncode == 1
    assert "The workload cannot be read" in output
    assert "secret" not in output


def test_the_program_survives_the_expansion_of_arguments_by_kubernetes() -> None:
    assert "$(" not in PROGRAM
    assert f"NOTHING_RAN = {NOTHING_RAN}" in PROGRAM


def test_a_payload_of_several_lines_is_handed_over_as_one() -> None:
    assert hand_over_line("a", '{\n "k": "v\\n"\n}') == 'a {"k":"v\\n"}'


@pytest.mark.parametrize(
    ("log", "acceptance"),
    [
        ("", "unknown"),
        (f"a warning\n{READY}\n", "waiting"),
        (f"{READY}\nhybrid-executor: accepted a-1\n", "accepted"),
        (f"{READY}\nhybrid-executor: accepted a-12\n", "waiting"),
        ("the task's own lines, after the kubelet rotated the log\n", "accepted"),
    ],
)
def test_a_claimed_pods_log_tells_whether_it_has_accepted_its_attempt(log: str, acceptance: str) -> None:
    assert acceptance_in(log, "a-1") == acceptance


def test_the_log_that_people_read_begins_with_the_tasks_own_lines() -> None:
    log = f"{READY}\nhybrid-executor: accepted a-1\none\ntwo hybrid-executor: ready\n"
    assert warm_pod.without_hand_over(log) == "one\ntwo hybrid-executor: ready\n"
    assert warm_pod.without_hand_over("plain\n") == "plain\n"
