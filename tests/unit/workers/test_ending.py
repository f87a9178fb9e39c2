"""Ends in words that help."""

from __future__ import annotations

import pytest

from hybrid_workers import ending


def test_exit_code_zero_is_success() -> None:
    assert ending.of_exit_code(0, oom_kills=0).is_success


@pytest.mark.parametrize(
    ("code", "oom_kills", "category", "words"),
    [
        (1, 0, "exit_code", "ended with exit code 1"),
        (-9, 0, "signal", "killed by signal 9 (SIGKILL), most likely because it ran out of memory"),
        (-9, 1, "oom_killed", "it ran out of memory; the kernel killed"),
        (-11, 1, "signal", "killed by signal 11 (SIGSEGV)"),
        (-200, 0, "signal", "killed by signal 200"),
    ],
)
def test_an_exit_code_says_what_happened(code: int, oom_kills: int, category: str, words: str) -> None:
    end = ending.of_exit_code(code, oom_kills=oom_kills)
    assert (end.category, end.exit_code) == (category, str(code))
    assert words in end.reason


@pytest.mark.parametrize(("code", "how"), [(-9, "killed by signal 9 (SIGKILL)"), (143, "ended with exit code 143")])
def test_a_task_that_airflow_ended_did_not_run_out_of_memory(code: int, how: str) -> None:
    end = ending.of_exit_code(code, oom_kills=1, is_ended_by_airflow=True)
    assert (end.category, end.exit_code) == ("ended_by_airflow", str(code))
    assert end.reason.startswith("Airflow ended it while it ran: its task instance was marked or cleared")
    assert how in end.reason
    assert "memory" not in end.reason


@pytest.mark.parametrize(
    ("message", "exit_code", "words"),
    [
        ("Worker exited prematurely: signal 9 (SIGKILL) Job: 3.", "-9", "killed by signal 9 (SIGKILL)"),
        ("Worker exited prematurely: exitcode 70 Job: 3.", "70", "ended with exit code 70"),
        ("Terminated(15)", "", "ended before"),
    ],
)
def test_a_lost_process_says_what_happened(message: str, exit_code: str, words: str) -> None:
    end = ending.of_lost_process(message, oom_kills=0)
    assert (end.exit_code, words in end.reason) == (exit_code, True)


def test_a_long_error_is_cut() -> None:
    assert len(ending.of_exception(RuntimeError("x" * 10_000)).reason) < 600


def test_kills_for_memory_are_counted_where_the_kernel_tells() -> None:
    assert ending.count_oom_kills() >= 0
