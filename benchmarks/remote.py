"""A process of one side that does what it is told: :mod:`benchmarks.inside`, from the outside."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.sides import Side, import_folder

_END_SECONDS = 30.0


class Remote:
    """Started when made. Ends when closed, or when this process ends.

    :param log: file that its log goes to.
    """

    def __init__(self, side: Side, *, environment: Mapping[str, str], log: Path) -> None:
        self.side = side
        self._log = log
        self._asked = ""
        folder = str(import_folder())
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [str(side.python), "-m", "benchmarks.inside"],
                env={**environment, "PYTHONPATH": folder},
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    @property
    def pid(self) -> int:
        """The id of the process that plays the scheduler."""
        return self._process.pid

    def ask(self, do: str, **arguments: Any) -> Any:
        """Call a method of :class:`benchmarks.inside.scheduler.Scheduler` there and return its answer.

        :raises RuntimeError: it raised, or the process has ended.
        """
        self.begin(do, **arguments)
        return self.answer()

    def begin(self, do: str, **arguments: Any) -> None:
        """Call a method there; :meth:`answer` has to follow."""
        assert self._process.stdin is not None
        self._asked = do
        print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)

    def answer(self) -> Any:
        """Wait for the answer to what was begun.

        :raises RuntimeError: it raised, or the process has ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.side.name} has ended: {self.end_of_log()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.side.name} cannot {self._asked}: {answer['error']}")
        return answer["answer"]

    def close(self) -> None:
        """End the executor and the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        started = psutil.Process(self.pid).children(recursive=True) if self._process.poll() is None else []
        self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        for process in started:  # upstream's helpers may outlive a scheduler that was killed
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def end_of_log(self) -> str:
        """Return the end of its log."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
