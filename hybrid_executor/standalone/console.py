"""Prints the output of many components on one terminal, with the name of the component in its colour."""

from __future__ import annotations

import re
import threading

from rich.console import Console
from rich.text import Text

_COLOURS = {
    "api-server": "magenta",
    "scheduler": "blue",
    "dag-processor": "yellow",
    "triggerer": "cyan",
    "worker": "green",
    "sandbox": "bright_blue",
    "valkey": "red",
    "migrate": "bright_black",
    "hybrid": "bold",
}
_OURS = "hybrid"
_WIDTH = max(map(len, _COLOURS))
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def without_escapes(line: str) -> str:
    """Return a line without the colours of a terminal."""
    return _ESCAPES.sub("", line)


class ComponentConsole:
    """Prints lines with the name of their component. Thread-safe."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._lock = threading.Lock()

    def print_line(self, name: str, line: str) -> None:
        """Print one line of a component; its own colours are removed."""
        style = "bold" if name == _OURS else ""
        text = Text.assemble((f"{name:<{_WIDTH}}", _COLOURS.get(name, "")), " | ", (without_escapes(line), style))
        with self._lock:
            self._console.print(text, soft_wrap=True)

    def say(self, line: str) -> None:
        """Print a line of our own."""
        self.print_line(_OURS, line)
