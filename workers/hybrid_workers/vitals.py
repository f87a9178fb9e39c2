"""A worker's health, in a file on its own host, for the probe that decides whether to restart it.

In a file, so that an unavailable Redis never makes a worker look dead, and so that reading it is cheap:
this module imports the standard library alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

_PREFIX, _SUFFIX = "hybrid-worker-", ".vitals"


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """What a worker notes every few seconds. Times are seconds since the epoch, 0 for never.

    :ivar written_at: when its heartbeat noted this.
    :ivar loop_at: when its main thread last came round.
    :ivar deaf_since: since when messages wait for it that it could take and does not.
    :ivar trouble: why Redis does not serve it, in words; "" where it does. No reason to restart it.
    """

    name: str
    pid: int
    written_at: float
    loop_at: float
    deaf_since: float = 0.0
    trouble: str = ""


def vitals_directory() -> Path:
    """Return where the files are: Airflow's home."""
    return Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()


def vitals_path(name: str) -> Path:
    """Return the file of a worker."""
    safe = "".join(letter if letter.isalnum() or letter in "@.-_" else "_" for letter in name)
    return vitals_directory() / f"{_PREFIX}{safe}{_SUFFIX}"


def write_vitals(vitals: Vitals) -> None:
    """Replace the worker's file in one step.

    :raises OSError: the directory cannot be written to.
    """
    path = vitals_path(vitals.name)
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps(asdict(vitals)), encoding="utf-8")
    scratch.replace(path)


def remove_vitals(name: str) -> None:
    """Delete the worker's file."""
    vitals_path(name).unlink(missing_ok=True)


def read_all_vitals() -> Iterator[Vitals]:
    """Return those of all workers of this host; files that are no vitals are passed over."""
    for path in sorted(vitals_directory().glob(f"{_PREFIX}*{_SUFFIX}")):
        try:
            yield Vitals(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue


def find_trouble(vitals: Vitals, *, now: float, seconds: float) -> str:
    """Return what is wrong with a worker in words, "" for nothing.

    :param seconds: how long it may be silent, stuck or deaf.
    """
    if now - vitals.written_at > seconds:
        return f"has not been heard of for {now - vitals.written_at:.0f} s"
    if now - vitals.loop_at > seconds:
        return f"is stuck: its main thread has not come round for {now - vitals.loop_at:.0f} s"
    if vitals.deaf_since and now - vitals.deaf_since > seconds:
        return f"is deaf: messages have waited for it for {now - vitals.deaf_since:.0f} s and it takes none"
    return ""
