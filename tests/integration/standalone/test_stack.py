"""Stacks of real processes: started in order, stopped in order, and none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hybrid_executor.standalone import Component, Stack, StackFailed
from tests.waiting import PATIENCE_SECONDS, wait_until

SLEEP = "import time; time.sleep(600)"
STARTING = """
import os, sys, time
from pathlib import Path
from hybrid_executor.standalone import Component, Stack

command = (sys.executable, str(Path(__file__).with_name("branching.py")), sys.argv[1])
Stack([Component(name="a", command=command, environment=os.environ)], print_line=print).advance()
time.sleep(600)
"""
BRANCHING = """
import os, subprocess, sys, time

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
with open(sys.argv[1], "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""


@pytest.fixture
def lines() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def make_stack(lines: list[tuple[str, str]]) -> Iterator[Callable[..., Stack]]:
    stacks = []

    def make(*components: Component) -> Stack:
        stacks.append(Stack(components, print_line=lambda name, line: lines.append((name, line))))
        return stacks[-1]

    yield make
    for stack in stacks:
        stack.stop()


def component(name: str, code: str, *, environment: dict[str, str] | None = None, **fields: object) -> Component:
    return Component(
        name=name,
        command=(sys.executable, "-u", "-c", code),
        environment={**os.environ, **(environment or {})},
        **fields,  # type: ignore[arg-type]
    )


def exists(pid: int) -> bool:
    """Return whether a process runs; one that is only not reaped yet does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] if Path("/proc").exists() else ""
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def test_a_component_starts_when_those_before_it_are_ready(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    stack = make_stack(
        component("second", SLEEP, after=("first", "once")),
        component("first", f"open({str(mark)!r}, 'w'); {SLEEP}", is_ready=mark.exists),
        component("once", "pass", runs_once=True),
    )
    stack.advance()
    assert "second" not in stack.pids
    assert stack.wait_ready(timeout_seconds=PATIENCE_SECONDS)
    assert set(stack.pids) == {"second", "first"}


def test_each_line_of_output_comes_with_its_components_name(
    make_stack: Callable[..., Stack], lines: list[tuple[str, str]]
) -> None:
    make_stack(component("a", "import sys; print('out'); print('err', file=sys.stderr)", runs_once=True)).wait_ready(
        timeout_seconds=PATIENCE_SECONDS
    )
    wait_until(lambda: len(lines) == 2)
    assert lines == [("a", "out"), ("a", "err")]


def test_a_component_that_ends_is_an_error_with_its_last_words(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(component("a", "import sys; print('the disk is full'); sys.exit(3)", is_ready=lambda: False))
    with pytest.raises(StackFailed, match=r"a ended unexpectedly with exit code 3\.(.|\n)*the disk is full"):
        stack.wait_ready(timeout_seconds=PATIENCE_SECONDS)


def test_a_component_that_is_not_ready_in_time_is_an_error_that_names_all_that_wait(
    make_stack: Callable[..., Stack],
) -> None:
    stack = make_stack(component("a", SLEEP, is_ready=lambda: False), component("b", SLEEP, after=("a",)))
    with pytest.raises(StackFailed, match=r"a was not ready within 1 s \(waiting for a, b\)"):
        stack.wait_ready(timeout_seconds=1)


def test_a_wish_to_stop_ends_the_wait(make_stack: Callable[..., Stack]) -> None:
    stop = threading.Event()
    stop.set()
    stack = make_stack(component("a", SLEEP))
    assert stack.wait_ready(timeout_seconds=PATIENCE_SECONDS, stop=stop) is False


def test_components_of_a_lower_rank_have_ended_before_the_next_are_asked(
    make_stack: Callable[..., Stack], lines: list[tuple[str, str]]
) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    print('asked', flush=True); time.sleep(0.3); print('ended', flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(600)"
    )
    stack = make_stack(component("server", code, stop_rank=2), component("scheduler", code, stop_rank=1))
    stack.advance()
    wait_until(lambda: len(lines) == 2)
    stack.stop()
    assert lines[2:] == [(name, word) for name in ("scheduler", "server") for word in ("asked", "ended")]


def test_what_ignores_sigterm_is_killed_after_its_grace(make_stack: Callable[..., Stack], lines: list[object]) -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); {SLEEP}"
    stack = make_stack(component("a", code, grace_seconds=0.3))
    stack.advance()
    wait_until(lambda: lines)
    begun = time.monotonic()
    stack.stop()
    assert 0.3 <= time.monotonic() - begun < 60


def test_a_user_in_a_hurry_does_not_wait_for_the_grace(make_stack: Callable[..., Stack], lines: list[object]) -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); {SLEEP}"
    stack = make_stack(component("a", code, grace_seconds=600))
    stack.advance()
    wait_until(lambda: lines)
    hurry = threading.Event()
    hurry.set()
    begun = time.monotonic()
    stack.stop(hurry=hurry)
    assert time.monotonic() - begun < 60


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the process group is reached")
def test_a_grandchild_in_a_session_of_its_own_is_ended_too(
    make_stack: Callable[..., Stack], lines: list[tuple[str, str]]
) -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', "
        f"{SLEEP!r}], start_new_session=True); print(p.pid); {SLEEP}"
    )
    stack = make_stack(component("a", code))
    stack.advance()
    wait_until(lambda: lines)
    pid = int(lines[0][1])
    assert exists(pid)
    stack.stop()
    assert not exists(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the process group is reached")
def test_nothing_outlives_a_starter_that_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    starting = tmp_path / "starting.py"
    starting.write_text(STARTING)
    (tmp_path / "branching.py").write_text(BRANCHING)
    starter = subprocess.Popen([sys.executable, str(starting), str(pids)])
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    running = [int(pid) for pid in pids.read_text().split()]
    assert all(map(exists, running))
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    wait_until(lambda: not any(map(exists, running)))
