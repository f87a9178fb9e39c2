"""What all commands have in common: errors in one clear line, and the standalone that runs in this Airflow home."""

from __future__ import annotations

import functools
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from hybrid_executor.errors import HybridError

EXIT_ERROR = 2
Command = Callable[[Namespace], "int | None"]


def plainly(command: Command) -> Callable[[Namespace], None]:
    """Make a command use the standalone that runs in the same Airflow home, if one does, and tell errors plainly."""

    @functools.wraps(command)
    def run(args: Namespace) -> int | None:
        join_standalone()
        return command(args)

    return apart(run)


def apart(command: Command) -> Callable[[Namespace], None]:
    """Make a command print a :class:`HybridError` on stderr and exit with 2; what it returns is its exit code."""

    @functools.wraps(command)
    def run(args: Namespace) -> None:
        try:
            code = command(args)
        except HybridError as error:
            print(f"airflow hybrid: {error}", file=sys.stderr)
            raise SystemExit(EXIT_ERROR) from None
        except BrokenPipeError:
            # Whoever read our output has gone; nobody is left to tell.
            sys.stderr.close()
            raise SystemExit(0) from None
        if code:
            raise SystemExit(code)

    return run


def join_standalone() -> None:
    """Have this process use the ``airflow hybrid standalone`` that runs in the same Airflow home, if one does.

    What this process was told itself wins.
    """
    from airflow.configuration import AIRFLOW_HOME

    from hybrid_executor.standalone import running

    for name, value in running.find(Path(AIRFLOW_HOME) / "hybrid").items():
        os.environ.setdefault(name, value)
