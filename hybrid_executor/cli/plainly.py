"""What all commands share: a known error is one line on stderr, and a running standalone is used."""

from __future__ import annotations

import functools
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from hybrid_executor.config.teams import VARIABLE as TEAM_VARIABLE
from hybrid_executor.config.teams import in_words_of, process_team
from hybrid_executor.errors import HybridError

EXIT_ERROR = 2
Command = Callable[[Namespace], "int | None"]


def plainly(command: Command) -> Callable[[Namespace], None]:
    """Make a command use the standalone of the same Airflow home, if one runs, and print known errors as one line.

    Options without effect are named on standard error before.
    """

    @functools.wraps(command)
    def run(args: Namespace) -> int | None:
        take_team(args)
        join_standalone()
        warn_of_options()
        return command(args)

    return apart(run)


def quietly(command: Command) -> Callable[[Namespace], None]:
    """Do what :func:`plainly` does, for a command that says itself, or need not say, which options have no effect."""

    @functools.wraps(command)
    def run(args: Namespace) -> int | None:
        take_team(args)
        join_standalone()
        return command(args)

    return apart(run)


def apart(command: Command) -> Callable[[Namespace], None]:
    """Make a command print a :class:`HybridError` on stderr and exit with 2. Its return value is its exit code."""

    @functools.wraps(command)
    def run(args: Namespace) -> None:
        try:
            code = command(args)
        except HybridError as error:
            print(f"airflow hybrid: {in_words_of(process_team(), str(error))}", file=sys.stderr)
            raise SystemExit(EXIT_ERROR) from None
        except BrokenPipeError:
            # The reader of our output (such as "head") has ended.
            sys.stderr.close()
            raise SystemExit(0) from None
        if code:
            raise SystemExit(code)

    return run


def take_team(args: Namespace) -> None:
    """Let this process, and the programs that it becomes or starts, work for the team of ``--team``."""
    if (team := getattr(args, "team", None)) is not None:
        os.environ[TEAM_VARIABLE] = team


def join_standalone() -> None:
    """Let this process use the ``airflow hybrid standalone`` of the same Airflow home, if one runs.

    Environment variables that are already set win.
    """
    from airflow.configuration import AIRFLOW_HOME

    from hybrid_executor.standalone import running

    for name, value in running.find(Path(AIRFLOW_HOME) / "hybrid").items():
        os.environ.setdefault(name, value)


def warn_of_options() -> None:
    """Print a line on standard error for each option that has no effect, such as a misspelt one."""
    from hybrid_executor.config.suspects import airflow_suspects

    for words in airflow_suspects():
        print(f"airflow hybrid: warning: {words}", file=sys.stderr)
