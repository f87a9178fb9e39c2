"""An agent's health, in a file on its own host, for the probe that decides whether to restart it.

In a file, so that an unavailable Redis or cluster never makes an agent look dead, and so that reading it is cheap: this
module imports the standard library alone. Airflow's home may be shared by hosts, so the file names its host.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

_PREFIX, _SUFFIX = "hybrid-agent-", ".vitals"


@dataclass(frozen=True, kw_only=True)
class AgentVitals:
    """What an agent notes every few seconds. Times are seconds since the epoch.

    :ivar written_at: when its main thread noted this.
    :ivar turned_at: when each of the threads that must go on last came round, by what the thread does.
    :ivar trouble: what the agent waits for, in words; "" for nothing. No reason to restart it.
    """

    name: str
    pid: int
    host: str
    written_at: float
    turned_at: Mapping[str, float] = field(default_factory=dict)
    trouble: str = ""


def vitals_directory() -> Path:
    """Return where the files are: Airflow's home."""
    return Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()


def vitals_path(name: str) -> Path:
    """Return the file of an agent."""
    safe = "".join(letter if letter.isalnum() or letter in "@.-_" else "_" for letter in name)
    return vitals_directory() / f"{_PREFIX}{safe}{_SUFFIX}"


def write_vitals(vitals: AgentVitals) -> None:
    """Replace the agent's file in one step.

    :raises OSError: the directory cannot be written to.
    """
    path = vitals_path(vitals.name)
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps(asdict(vitals)), encoding="utf-8")
    scratch.replace(path)


def remove_vitals(name: str) -> None:
    """Delete the agent's file."""
    vitals_path(name).unlink(missing_ok=True)


def read_all_vitals() -> Iterator[AgentVitals]:
    """Return those of all agents of this host, also of ended ones; files that are no vitals are left out."""
    for path in sorted(vitals_directory().glob(f"{_PREFIX}*{_SUFFIX}")):
        try:
            vitals = AgentVitals(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue
        if vitals.host == socket.gethostname():
            yield vitals


def remove_vitals_of_ended() -> None:
    """Delete the files of this host's agents whose process has ended: they were killed."""
    for vitals in read_all_vitals():
        if not is_process(vitals.pid):
            remove_vitals(vitals.name)


def is_process(pid: int) -> bool:
    """Return whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def find_trouble(vitals: AgentVitals, *, now: float, seconds: float) -> str:
    """Return what is wrong with an agent in words, "" for nothing.

    :param seconds: how long it, or one of its threads, may be silent.
    """
    if now - vitals.written_at > seconds:
        return f"has not been heard of for {now - vitals.written_at:.0f} s"
    for thread, turned_at in vitals.turned_at.items():
        if now - turned_at > seconds:
            return f"is stuck: the thread that {thread} has not come round for {now - turned_at:.0f} s"
    return ""
