"""How a workload ended, in words that help the person who owns it."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path

from hybrid_executor.hiding import hide_secrets

_CGROUP = Path("/sys/fs/cgroup")
_KILLED = re.compile(r"signal (\d+)")
_EXITED = re.compile(r"exitcode (-?\d+)")
_MOST_CHARACTERS = 500
API_UNREACHABLE = "api_unreachable"


@dataclass(frozen=True)
class Ending:
    """The end of one run.

    :ivar reason: "" for success.
    :ivar exit_code: of the process, negative for a signal, "" where there is none.
    :ivar category: what kind of failure it is, for programs.
    :ivar untold: the attempt's last state, where it could not be recorded in the store; "" where it was recorded.
    """

    reason: str = ""
    exit_code: str = ""
    category: str = ""
    untold: str = ""

    @property
    def is_success(self) -> bool:
        """Nothing went wrong."""
        return not self.reason


def of_exit_code(code: int, *, oom_kills: int, is_ended_by_airflow: bool = False) -> Ending:
    """Return what the exit code of a task process means; 0 is success.

    :param oom_kills: processes of this worker's control group that the kernel killed for memory during the run.
    :param is_ended_by_airflow: the API server did not let it run any more.
    """
    if code == 0:
        return Ending()
    if is_ended_by_airflow:
        how = f"killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        words = "marked or cleared, or its Dag run was ended"
        return Ending(
            f"Airflow ended it while it ran: its task instance was {words} (the task process was {how})",
            str(code),
            "ended_by_airflow",
        )
    if code < 0:
        category = "oom_killed" if oom_kills and -code == signal.SIGKILL else "signal"
        return Ending(f"The task process was {_killed_by(-code, oom_kills)}", str(code), category)
    return Ending(f"The task process ended with exit code {code}; see its log", str(code), "exit_code")


def of_lost_process(message: str, *, oom_kills: int) -> Ending:
    """Return what the loss of a worker's task slot means.

    :param message: Celery's words, which name a signal or an exit code.
    """
    killed = _KILLED.search(message)
    if killed:
        number = int(killed.group(1))
        category = "oom_killed" if oom_kills and number == signal.SIGKILL else "signal"
        return Ending(f"The worker's process that ran it was {_killed_by(number, oom_kills)}", str(-number), category)
    exited = _EXITED.search(message)
    code = exited.group(1) if exited else ""
    words = f" with exit code {code}" if code else ""
    return Ending(f"The worker's process that ran it ended{words} before the workload did", code, "exit_code")


def of_timeout(seconds: float) -> Ending:
    """Return what Celery's hard time limit means."""
    return Ending(f"It ran longer than the worker's hard time limit of {seconds:g} s and was killed", "", "time_limit")


def of_termination(number: int) -> Ending:
    """Return what a Celery control command that ended the task process with signal ``number`` means."""
    return Ending(f"Ended by a Celery control command with {_signal_name(number)}", str(-number), "revoked")


def of_exception(error: BaseException) -> Ending:
    """Return what an exception out of Airflow's supervisor means."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    text = hide_secrets(f"{type(error).__name__}: {error}")[:_MOST_CHARACTERS]
    if status is not None:
        hint = {
            401: "its token may have expired while it waited",
            403: "its token may have expired while it waited, or the worker's [api_auth] settings differ",
            404: "the task instance is gone",
            409: "the task is no longer waiting to run",
        }.get(status, "see the API server's log")
        return Ending(f"Refused by the API server with {status} ({hint}): {text}", "", "refused")
    if type(error).__module__.partition(".")[0] == "httpx":
        words = "The API server could not be reached from the worker ([core] execution_api_server_url)"
        return Ending(f"{words}: {text}", "", API_UNREACHABLE)
    if isinstance(error, MemoryError):
        return Ending("The worker's process that ran it found no more memory", "", "oom")
    if type(error).__name__ == "SoftTimeLimitExceeded":  # Celery's, which this module does not know
        return Ending("It ran longer than the worker's soft time limit and was ended", "", "time_limit")
    return Ending(f"The worker could not run it: {text}", "", "worker_error")


def count_oom_kills() -> int:
    """Return how many processes of this control group the kernel has killed for memory, 0 where that is not known."""
    for name, pattern in (("memory.events", r"^oom_kill (\d+)$"), ("memory/memory.oom_control", r"^oom_kill (\d+)$")):
        try:
            found = re.search(pattern, _own_group().joinpath(name).read_text(encoding="ascii"), re.MULTILINE)
        except OSError:
            continue
        if found:
            return int(found.group(1))
    return 0


def _own_group() -> Path:
    """Return the control group's directory: the root inside a container, a nested one under a service manager."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return _CGROUP
    nested = next((line.split(":", 2)[2].lstrip("/") for line in lines if line.startswith("0::")), "")
    group = _CGROUP / nested
    return group if group.joinpath("memory.events").exists() else _CGROUP


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _killed_by(number: int, oom_kills: int) -> str:
    name = _signal_name(number)
    if number == signal.SIGKILL and oom_kills:
        return f"killed by {name}: it ran out of memory; the kernel killed a process of this worker for it"
    if number == signal.SIGKILL:
        return f"killed by {name}, most likely because it ran out of memory"
    return f"killed by {name}"
