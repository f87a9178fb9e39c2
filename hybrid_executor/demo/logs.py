"""The components' output, one file each."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TextIO

from hybrid_executor.standalone.console import ComponentConsole


class ComponentLogs:
    """Writes lines to ``<folder>/<component>.log``. Thread-safe.

    :param echo: prints the lines too.
    """

    def __init__(self, folder: Path, *, echo: ComponentConsole | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._echo = echo
        self._files: dict[str, TextIO] = {}
        self._lock = threading.Lock()

    def write(self, name: str, line: str) -> None:
        """Write one line of a component."""
        with self._lock:
            if name not in self._files:
                self._files[name] = (self._folder / f"{name}.log").open("a", encoding="utf-8", buffering=1)
            self._files[name].write(line + "\n")
        if self._echo:
            self._echo.print_line(name, line)

    def close(self) -> None:
        """Close all files; nothing is written afterwards."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()
