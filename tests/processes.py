"""Processes of tests: whether they run, and how they are started to say only what a test is about."""

from __future__ import annotations

import psutil

QUIET = {"PYTHONWARNINGS": "ignore:FileType is deprecated:PendingDeprecationWarning"}
"""For the environment of Airflow's commands, which print this before anything else with Python 3.14."""


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and whose parent has not asked yet does not.

    It may end at any moment, also between two questions.
    """
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
