"""Errors of ours on the command line: one clear line, and no traceback."""

from __future__ import annotations

import functools
import sys
from argparse import Namespace
from collections.abc import Callable

from hybrid_executor.errors import HybridError

EXIT_ERROR = 2


def plainly(command: Callable[[Namespace], int | None]) -> Callable[[Namespace], None]:
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
