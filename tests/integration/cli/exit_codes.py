"""The exit code of a command's body."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable


def exit_code_of(command: Callable[[Namespace], object], args: Namespace) -> object:
    """Run a command and return its exit code."""
    try:
        command(args)
    except SystemExit as end:
        return end.code
    return 0
