"""A slot's side: ask for a process of a parsed parent, and supervise it with Airflow's own supervisor.

One name is replaced, ``supervisor.ActivitySubprocess``, with a subclass whose ``start`` asks first; all that follows is
Airflow's code. Where no process is lent, ``start`` is Airflow's own.
"""

from __future__ import annotations

import inspect
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import psutil  # type: ignore[import-untyped]

from hybrid_workers.parsed import lent
from hybrid_workers.parsed.channel import close_all, is_readable, make_pair, receive, send
from hybrid_workers.parsed.nursery import WAIT_SECONDS

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = WAIT_SECONDS + 10.0
_STATUS_SECONDS = 10.0
_PAUSE_SECONDS = 300.0
_MARK = "_hybrid_asks_for_parsed_files"
_Signalled = IntEnum("_Signalled", {number.name: -number for number in signal.Signals})  # type: ignore[misc]
"""Exit codes of processes that a signal has ended, with the names by which Airflow's supervisor tells them."""


@dataclass(frozen=True)
class Wanted:
    """What a slot wants to run."""

    bundle: str
    version: str | None
    path: str


class LentProcess:
    """A process that a parsed parent has forked, as Airflow's supervisor tracks one."""

    ProcessNotFound = psutil.NoSuchProcess
    TimeoutExpired = psutil.TimeoutExpired

    def __init__(self, pid: int, pidfd: int, reply: socket.socket) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._reply = reply
        self._code: int | None = None
        lent.note(pid)

    def send_signal(self, number: int) -> None:
        """Send a signal; never to another process that has the same id by now.

        :raises psutil.NoSuchProcess: it has ended.
        """
        try:
            if self._code is not None:
                raise ProcessLookupError
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            raise psutil.NoSuchProcess(self.pid) from None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, as ``psutil`` does.

        :raises psutil.TimeoutExpired: it still runs.
        """
        if self._code is None:
            has_answer = is_readable(self._reply.fileno(), timeout)
            if not has_answer and is_readable(self._pidfd, 0):
                has_answer = is_readable(self._reply.fileno(), _STATUS_SECONDS)
            if not has_answer:
                raise psutil.TimeoutExpired(timeout, self.pid)
            answer, _ = receive(self._reply)
            if answer is None:  # its parsed parent was killed, and it with that
                is_readable(self._pidfd, _STATUS_SECONDS)
            self._code = -signal.SIGKILL if answer is None else int(answer["code"])
            self.close()
        return self._code if self._code >= 0 else _Signalled(self._code)

    def close(self) -> None:
        """Give it up: a parsed parent ends a task that nobody supervises."""
        lent.note(0)
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        self._reply.close()


class Slot:
    """Asks the nursery, from one slot.

    :param environment: the environment as the nursery has it.
    """

    def __init__(self, asks: socket.socket, environment: Mapping[str, str]) -> None:
        self._asks = asks
        self._environment = dict(environment)
        self._alone_until = -math.inf

    def borrow(self, wanted: Wanted, ends: list[socket.socket], *, own_group: bool) -> LentProcess | None:
        """Return a process that has parsed the file and waits for its task, ``None`` to go the ordinary way.

        :param ends: the task's ends of its supervisor's sockets: requests, output, errors, log.
        """
        if time.monotonic() < self._alone_until:
            return None
        reply, theirs = make_pair()
        message = {**vars(wanted), "own_group": own_group, "environment": self._changes()}
        is_sent = send(self._asks, message, [end.fileno() for end in (*ends, theirs)])
        theirs.close()
        if not is_sent:
            self._note_unavailable()
            reply.close()
            return None
        begun = time.monotonic()
        has_answer = is_readable(reply.fileno(), _PATIENCE_SECONDS)
        answer, descriptors = receive(reply) if has_answer else (None, [])
        if answer is not None and "pid" in answer and descriptors:
            log.debug("%s was parsed before; its task waited %.3f s", wanted.path, time.monotonic() - begun)
            return LentProcess(answer["pid"], descriptors[0], reply)
        close_all(descriptors)
        reply.close()
        if not has_answer:
            self._alone_until = time.monotonic() + _PAUSE_SECONDS
            log.warning(
                "The process that keeps parsed Dag files does not answer; for %d s each task parses its file",
                _PAUSE_SECONDS,
            )
        elif answer is not None and answer.get("is_news"):
            log.info("Each task of %s parses it: %s", wanted.path, answer["ordinary"])
        elif answer is not None:
            log.debug("The task parses %s: %s", wanted.path, answer.get("ordinary"))
        return None

    def close(self) -> None:
        """Close this process's copy of the end that slots ask with."""
        self._asks.close()

    def _note_unavailable(self) -> None:
        if is_readable(self._asks.fileno(), 0):  # it never sends anything there
            self._alone_until = math.inf
            log.warning("The process that keeps parsed Dag files has ended; from now on each task parses its file")
        else:
            log.debug("The process that keeps parsed Dag files is busy, or this task's environment is too large")

    def _changes(self) -> dict[str, str | None]:
        now = dict(os.environ)
        changes: dict[str, str | None] = {name: None for name in self._environment if name not in now}
        return changes | {name: text for name, text in now.items() if self._environment.get(name) != text}


def ask_for_parsed_files(slot: Slot) -> bool:
    """Let supervisors of this process ask first. Call it once in each slot; return whether it could be done."""
    from airflow.sdk.execution_time import supervisor

    sdk: Any = supervisor
    if getattr(sdk.ActivitySubprocess, _MARK, False):
        return True
    sdk.ActivitySubprocess = _make_lending(sdk.ActivitySubprocess, sdk, slot)
    os.register_at_fork(after_in_child=slot.close)
    return True


def _make_lending(ordinary: Any, sdk: Any, slot: Slot) -> Any:
    """Return a subclass of Airflow's class of a supervised task."""
    import structlog

    has_group = "_new_process_group" in {field.name for field in ordinary.__attrs_attrs__}
    extra_readers: dict[str, Any] = (
        {"data": {}} if "data" in inspect.signature(ordinary._register_pipe_readers).parameters else {}
    )

    class LendingActivity(ordinary):  # type: ignore[misc]
        @classmethod
        def start(
            cls,
            *,
            what: Any,
            dag_rel_path: Any,
            bundle_info: Any,
            client: Any,
            target: Any = sdk._subprocess_main,
            logger: Any = None,
            sentry_integration: str = "",
            **named: Any,
        ) -> Any:
            task = {"what": what, "dag_rel_path": dag_rel_path, "bundle_info": bundle_info}
            rest = {"logger": logger, "sentry_integration": sentry_integration, **named}
            if target is not sdk._subprocess_main or cls is not LendingActivity:
                return super().start(**task, client=client, target=target, **rest)
            pairs = [socket.socketpair() for _ in range(4)]
            theirs, ours = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            wanted = Wanted(bundle_info.name, bundle_info.version, os.fspath(dag_rel_path))
            process = slot.borrow(wanted, theirs, own_group=has_group)
            for end in theirs:
                end.close()
            if process is None:
                for end in ours:
                    end.close()
                return super().start(**task, client=client, **rest)
            requests, out, err, log_end = ours
            if has_group:
                named["new_process_group"] = True
            try:
                proc = cls(
                    id=what.id,
                    pid=process.pid,
                    stdin=requests,
                    process=process,
                    process_log=logger or structlog.get_logger(logger_name="task").bind(),
                    start_time=time.monotonic(),
                    client=client,
                    **named,
                )
                proc._register_pipe_readers(out, err, requests, log_end, **extra_readers)
                proc._on_child_started(
                    ti=what,
                    dag_rel_path=dag_rel_path,
                    bundle_info=bundle_info,
                    sentry_integration=sentry_integration,
                )
            except BaseException:
                process.close()
                raise
            return proc

    setattr(LendingActivity, _MARK, True)
    return LendingActivity
