"""Commands that replace this process, which has loaded all of Airflow, by a program that needs less memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn


def become(module: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by ``python -m module arguments``; the process id and the open files stay the same."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


def given(**options: object) -> list[str]:
    """Return ``--name=value`` for each option that is not ``None``, and for each value of a list."""
    words = []
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{name.replace('_', '-')}={one}" for one in values if one is not None]
    return words
