"""A worker in the background: whose pid file it is, and where its output goes.

Airflow's own code makes the daemon; here is what it leaves to chance: a pid file whose number belongs to some other
process by now, and files that are made before the umask is set.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from hybrid_executor.errors import ConfigError

# The file is written when the process is a few seconds old; clocks and file systems round.
_WRITTEN_AFTER_START_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Background:
    """How a worker runs in the background.

    :ivar umask: octal digits.
    """

    pid_file: str
    stdout: str
    stderr: str
    log_file: str
    umask: str


def read_background(
    *, pid: str | None, stdout: str | None, stderr: str | None, log: str | None, umask: str
) -> Background:
    """Return where a worker's files are, in Airflow's home where nothing else is asked for.

    :param umask: "" for Airflow's own.
    :raises ConfigError: the umask is none.
    """
    from airflow import settings
    from airflow.utils.cli import setup_locations

    mask = umask or settings.DAEMON_UMASK
    try:
        is_mask = 0 <= int(mask, 8) <= 0o777
    except ValueError:
        is_mask = False
    if not is_mask:
        raise ConfigError(f"The umask {mask} is not valid: write an octal number such as 0o077.")
    locate: Any = setup_locations
    pid_file, *files = locate(process="worker", pid=pid, stdout=stdout, stderr=stderr, log=log)
    return Background(pid_file=pid_file, stdout=files[0], stderr=files[1], log_file=files[2], umask=mask)


def check_pid_file(path: str) -> None:
    """Make sure that no living worker stands in the pid file, and remove what a dead one left.

    A process that is younger than the file has only got the same number: after a reboot, or in a container.

    :raises ConfigError: a worker runs, or the file is something else.
    """
    try:
        pid, written_at = int(Path(path).read_text(encoding="ascii")), Path(path).stat().st_mtime
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no pid file ({type(error).__name__}): name another one with --pid.") from error
    if _runs_since(pid, written_at):
        raise ConfigError(
            f"A worker is running already: {path} names process {pid}. Stop it first (kill -TERM {pid}), or give this "
            "one a pid file of its own with --pid."
        )
    Path(path).unlink(missing_ok=True)


def run_here_or_as_daemon(background: Background, work: Callable[[], None], *, as_daemon: bool) -> None:
    """Work until it is done; as a daemon in a process of its own, while the one that was called ends at once."""
    from airflow.cli.commands.daemon_utils import run_command_with_daemon_option

    if as_daemon:
        # Airflow makes the files of the output before the daemon has its umask.
        os.umask(int(background.umask, 8))
    run_command_with_daemon_option(
        args=argparse.Namespace(
            daemon=as_daemon,
            pid=background.pid_file,
            stdout=background.stdout,
            stderr=background.stderr,
            log_file=background.log_file,
        ),
        process_name="worker",
        callback=work,
        should_setup_logging=True,
        umask=background.umask,
        pid_file=background.pid_file,
    )


def _runs_since(pid: int, written_at: float) -> bool:
    try:
        process = psutil.Process(pid)
        is_dead = process.status() == psutil.STATUS_ZOMBIE
        return not is_dead and process.create_time() < written_at + _WRITTEN_AFTER_START_SECONDS
    except psutil.NoSuchProcess:
        return False
