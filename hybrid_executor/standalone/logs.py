"""The components' output: one file each, limited in size."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from hybrid_executor.standalone.console import ComponentConsole, without_escapes

_BYTES = 10_000_000
_OLD_FILES = 2


class ComponentLogs:
    """Writes lines to ``<folder>/<component>.log``. Thread-safe.

    Each run begins a new file. A full file, and that of the last run, become ``<component>.log.1``, and the one before
    it ``.log.2``; older ones are deleted. If a file cannot be written, that is said once on stderr, and the component
    goes on.

    :param echo: prints the lines too.
    :param file_bytes: the size at which a file is full.
    """

    def __init__(self, folder: Path, *, echo: ComponentConsole | None = None, file_bytes: int = _BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._echo = echo
        self._file_bytes = file_bytes
        self._files: dict[str, _LineFile] = {}
        self._lock = threading.Lock()

    def write(self, name: str, line: str) -> None:
        """Write one line of a component; its colours are removed in the file."""
        with self._lock:
            if name not in self._files:
                self._files[name] = _LineFile(self._folder / f"{name}.log", file_bytes=self._file_bytes)
            self._files[name].write(without_escapes(line))
        if self._echo:
            self._echo.print_line(name, line)

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            for file in self._files.values():
                with suppress(OSError):
                    file.close()
            self._files.clear()


class _LineFile(RotatingFileHandler):
    """A file of lines, begun anew."""

    def __init__(self, path: Path, *, file_bytes: int) -> None:
        super().__init__(path, maxBytes=file_bytes, backupCount=_OLD_FILES, encoding="utf-8", delay=True)
        self._has_failed = False
        if path.exists() and path.stat().st_size:
            self._begin()

    def write(self, line: str) -> None:
        self.handle(logging.LogRecord("", logging.INFO, "", 0, line, None, None))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        self._say_failure()

    def _begin(self) -> None:
        try:
            self.doRollover()
        except OSError:
            self._say_failure()

    def _say_failure(self) -> None:
        if not self._has_failed:
            self._has_failed = True
            print(f"airflow hybrid: {self.baseFilename} cannot be written: {sys.exc_info()[1]}", file=sys.stderr)
