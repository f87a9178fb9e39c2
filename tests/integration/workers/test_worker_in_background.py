"""``airflow hybrid worker -D``: files, pid file, log server, end; and what it writes."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from hybrid_executor.states import State
from tests.integration.rabbitmq import free_port
from tests.integration.workers.near_side import Scheduler, callback_json, wait_until
from tests.integration.workers.real_worker import SECRET, Daemon, Home, make_home
from tests.processes import is_alive

QUEUE = "background"
TOKEN = "a-token-that-nobody-may-see"


@pytest.fixture
def home(redis_url: str, tmp_path: Path) -> Home:
    return make_home(tmp_path / "home", redis_url, log_port=free_port())


@pytest.fixture
def follow() -> Iterator[Callable[[Path], Daemon]]:
    """Return a function that finds the worker of a pid file, which does not outlive the test."""
    daemons: list[Daemon] = []

    def find(pid_file: Path) -> Daemon:
        wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), what="the pid file is written")
        daemons.append(Daemon(int(pid_file.read_text())))
        return daemons[-1]

    yield find
    for daemon in daemons:
        daemon.kill()


def run_command(near: Scheduler, *command: str) -> str:
    """Submit a callback that runs a command and needs no API server; return its attempt."""
    work = near.work()
    text = callback_json(work.attempt, {"args": list(command)}).replace("scripted.run", "subprocess.run")
    [attempt] = near.submit(near.work(queue=QUEUE, text=text))
    return attempt


def dead_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_it_runs_in_the_background_and_ends_without_a_trace(
    home: Home,
    follow: Callable[[Path], Daemon],
    fresh_scheduler: Scheduler,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = fresh_scheduler
    pid_file, out, err, log = (tmp_path / name for name in ("pid", "out", "err", "log"))
    pid_file.write_text(f"{dead_process()}\n")
    files = ["--pid", str(pid_file), "--stdout", str(out), "--stderr", str(err), "-l", str(log)]
    begun = home.worker("-D", *files, "--umask", "0027", "-H", "first@test", "-q", QUEUE, "-c", "2")
    assert (begun.returncode, begun.stderr) == (0, "")
    announced = wait_until(lambda: near.worker_fields("first@test"), seconds=40, what="it announces itself")
    daemon = follow(pid_file)
    assert (announced["pid"], announced["concurrency"]) == (str(daemon.process.pid), "2")
    assert [mode(path) for path in (pid_file, out, err, log)] == ["0o640"] * 4

    attempt = run_command(near, "true")
    near.wait_for(attempt, State.SUCCEEDED)
    wait_until(lambda: f"Attempt {attempt} succeeded" in log.read_text(), what="the log file says so")
    assert "first@test ready" in log.read_text()

    again = home.worker("-D", *files, "-H", "second@test", "-s")
    assert again.returncode == 1
    assert f"A worker is running already: {pid_file} names process {daemon.process.pid}." in again.stderr
    assert "first@test ready" in log.read_text()
    assert pid_file.read_text().strip() == str(daemon.process.pid)

    port = int(home.environment["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"])
    wait_until(lambda: listens(port), what="the log server is there")
    (home.path / "logs" / "task.log").write_text("what the task wrote")
    url = f"http://127.0.0.1:{port}/log/task.log"
    monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", SECRET)
    from airflow.utils.log.file_task_handler import _fetch_logs_from_service

    assert _fetch_logs_from_service(url, "task.log").text == "what the task wrote"
    assert httpx.get(url).status_code == 403

    assert any("serve-logs" in line for line in daemon.processes())
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: daemon.processes() == [], what="all its processes have ended")
    assert not pid_file.exists()
    assert near.worker_fields("first@test") == {}
    assert not listens(port)
    assert err.read_text() == ""


def test_its_log_is_json_with_errors_apart_and_shows_no_token_however_much_it_says(
    home: Home, follow: Callable[[Path], Daemon], fresh_scheduler: Scheduler, tmp_path: Path
) -> None:
    near, gate = fresh_scheduler, tmp_path / "gate"
    pid_file = home.path / "airflow-worker.pid"
    # As after a reboot: the number in it has gone to a younger process.
    pid_file.write_text(f"{os.getpid()}\n")
    os.utime(pid_file, (0, 0))
    begun = home.worker(
        *("-D", "--skip-serve-logs", "--verbose", "--autoscale", "3,1", "-H", "talks@test", "-q", QUEUE),
        celery__json_logs="True",
        celery__worker_umask="0007",
        celery__sync_parallelism="4",
        celery__task_publish_max_retries="7",
        logging__celery_stdout_stderr_separation="True",
    )
    assert begun.returncode == 0
    wait_until(lambda: near.worker_fields("talks@test"), seconds=40, what="it announces itself")
    daemon = follow(pid_file)
    out, err, log = (home.path / f"airflow-worker.{end}" for end in ("out", "err", "log"))
    assert [mode(path) for path in (out, err, log)] == ["0o660"] * 3

    def size() -> tuple[str, str, int]:
        fields = near.worker_fields("talks@test")
        return fields["concurrency"], fields["processes"], len(json.loads(fields["running"]))

    assert size() == ("3", "1", 0)
    wait = f"while [ ! -e {gate} ]; do sleep 0.1; done"
    attempts = [run_command(near, "sh", "-c", wait) for _ in range(3)]
    wait_until(lambda: size() == ("3", "3", 3), what="it has grown to three processes")
    gate.touch()
    for attempt in attempts:
        near.wait_for(attempt, State.SUCCEEDED)
    wait_until(lambda: size() == ("3", "1", 0), what="it has shrunk to one process")

    near.push("no message at all", queue=QUEUE)
    wait_until(lambda: "is no message and is dropped" in err.read_text(), what="the error is in the file of errors")
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: daemon.processes() == [], what="all its processes have ended")
    texts = [begun.stdout, *(path.read_text() for path in (out, err, log))]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    assert all({"timestamp", "level", "event"} <= set(line) for line in lines)
    assert {line["level"] for line in map(json.loads, err.read_text().splitlines())} == {"error"}
    assert "is no message and is dropped" not in out.read_text()
    assert {"debug", "info"} <= {line["level"] for line in lines}
    assert TOKEN not in "".join(texts)
    told = [line["event"] for line in map(json.loads, log.read_text().splitlines()) if "no effect" in line["event"]]
    assert [event.split()[1] for event in told] == ["sync_parallelism", "task_publish_max_retries"]
    assert not listens(int(home.environment["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"]))


def test_what_runs_beside_a_worker_leaves_the_terminal_to_it_and_dies_with_it() -> None:
    code = (
        "import multiprocessing, signal\n"
        "from hybrid_workers.sidecars import sidecars\n"
        "with sidecars(serves_logs=False, bundle_cleanup_seconds=1000):\n"
        "    print(multiprocessing.active_children()[0].pid, flush=True)\n"
        "    signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        beside = int(worker.stdout.readline())
        blocked = f"{1 << (signal.SIGINT - 1):016x}"
        status = Path(f"/proc/{beside}/status")
        wait_until(lambda: f"SigBlk:\t{blocked}" in status.read_text(), what="it does not hear Ctrl-C")
        worker.kill()
        wait_until(lambda: not is_alive(beside), what="it has ended too")
