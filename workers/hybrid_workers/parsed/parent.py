"""A parsed parent: the process that has parsed one Dag file and forks the processes of its tasks.

It has one thread and no connection, and it never sees a token: what a task is told comes over the task's own socket. A
task ends with its parsed parent, and with the slot that supervises it, however those end.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from hybrid_workers import numpy_chance
from hybrid_workers.parsed import exporters
from hybrid_workers.parsed.channel import close_all, receive, send
from hybrid_workers.parsed.parse import FileKey, Verdict, parse_and_judge
from hybrid_workers.parsed.ties import die_with, end_trees, outlive_parent, reap_adopted, watch_parent
from hybrid_workers.processes import adopt_orphans

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that people and terminals send to all processes of a worker; the main process decides."""
_RESET_BY_AIRFLOW = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR2}


class _File:
    """A descriptor, as what Airflow expects to be a socket."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor


@dataclass
class _Lent:
    pid: int
    pidfd: int
    reply: socket.socket


class ParsedParent:
    """Lives in a process of its own, from the fork to the end of its last task.

    :param requests: where slots' requests come from; at its end no more come, and what runs is waited for.
    :param report: the descriptor that takes the verdict, one line of JSON.
    :param handlers: the signal handlers that tasks get back.
    :param group: the process group of the worker, for tasks without a group of their own.
    """

    def __init__(
        self, key: FileKey, requests: socket.socket, report: int, handlers: Mapping[int, Any], *, group: int
    ) -> None:
        self._key = key
        self._requests = requests
        self._report = report
        self._handlers = handlers
        self._group = group
        self._verdict = Verdict()
        self._selector: selectors.BaseSelector = selectors.DefaultSelector()
        self._lent: dict[int, _Lent] = {}
        self._is_leaving = False
        self._nursery = -1

    def run(self, *, parent: int, environment: Mapping[str, str | None]) -> NoReturn:
        """Parse, report and serve.

        :param environment: what is different in the slot's environment; ``None`` for what it has not.
        """
        die_with(parent)
        self._nursery = watch_parent(parent)
        name_process(f"airflow hybrid worker -- parsed {self._key.path}")
        for name, text in environment.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text
        from airflow.sdk.execution_time import supervisor

        self._own_stdio = [os.dup(number) for number in (0, 1, 2)]
        self._outputs = [os.memfd_create(name) for name in ("stdout", "stderr", "log")]
        nothing = os.open(os.devnull, os.O_RDWR)
        out, err, log = self._outputs
        self._log = os.dup(log)
        sdk: Any = supervisor
        sdk._fork_main(_File(nothing), _File(out), _File(err), self._log, self._parse_and_serve)
        os._exit(os.EX_SOFTWARE)

    def _parse_and_serve(self) -> NoReturn:
        for number in set(self._handlers) - _RESET_BY_AIRFLOW:
            signal.signal(number, self._handlers[number])
        self._verdict = parse_and_judge(self._key, outputs=self._outputs)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        self._tell_verdict()
        if self._verdict.reason:
            os._exit(0)
        gc.collect()
        gc.freeze()
        self._serve()

    def _tell_verdict(self) -> None:
        said = {"reason": self._verdict.reason, "passes": self._verdict.passes, "stamps": self._verdict.stamps}
        with os.fdopen(self._report, "w") as report:
            report.write(json.dumps(said) + "\n")

    def _serve(self) -> NoReturn:
        adopt_orphans(True)
        self._selector.register(self._nursery, selectors.EVENT_READ, self._leave)
        outlive_parent()
        self._selector.register(self._requests, selectors.EVENT_READ, self._requested)
        while self._lent or not self._is_leaving:
            for key, _ in self._selector.select():
                key.data()
        os._exit(0)

    def _leave(self) -> NoReturn:
        """End all tasks, with all that they have started, and itself: the nursery was killed."""
        end_trees(self._lent)
        os._exit(0)

    def _requested(self) -> None:
        request, descriptors = receive(self._requests)
        if request is None:
            self._selector.unregister(self._requests)
            self._is_leaving = True
            return
        try:
            self._lend(descriptors, own_group=bool(request["own_group"]))
        finally:
            close_all(descriptors)

    def _lend(self, descriptors: list[int], *, own_group: bool) -> None:
        """Fork a task's process for who asks. It does nothing until its supervisor has told it what to do."""
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_task(descriptors, parent=parent, own_group=own_group)
        _set_group(pid, pid if own_group else self._group)
        lent = _Lent(pid, os.pidfd_open(pid), socket.socket(fileno=os.dup(descriptors[-1])))
        self._lent[pid] = lent
        self._selector.register(lent.pidfd, selectors.EVENT_READ, lambda: self._ended(lent))
        self._selector.register(lent.reply, selectors.EVENT_READ, lambda: self._given_up(lent))
        if not send(lent.reply, {"pid": pid}, [lent.pidfd]):
            self._given_up(lent)

    def _ended(self, lent: _Lent) -> None:
        _, status = os.waitpid(lent.pid, 0)
        send(lent.reply, {"code": os.waitstatus_to_exitcode(status)})
        self._selector.unregister(lent.pidfd)
        if lent.reply in self._selector.get_map():
            self._selector.unregister(lent.reply)
        os.close(lent.pidfd)
        lent.reply.close()
        del self._lent[lent.pid]
        reap_adopted(self._lent)

    def _given_up(self, lent: _Lent) -> None:
        """End a task whose slot has gone, with all that it started; its end is noted as any other."""
        if lent.pid in self._lent:  # else its end has come at the same time
            self._selector.unregister(lent.reply)
            end_trees([lent.pid])

    def _become_task(self, descriptors: list[int], *, parent: int, own_group: bool) -> NoReturn:
        """Be what Airflow forks: its own code does the rest."""
        try:
            die_with(parent)
            _set_group(0, 0 if own_group else self._group)
            self._leave_to_parent()
            from airflow.sdk.execution_time import supervisor

            sdk: Any = supervisor
            requests, out, err, log, reply = descriptors
            os.close(reply)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            if hasattr(sdk, "_make_process_nondumpable"):
                sdk._make_process_nondumpable()
            for own, number in zip(self._own_stdio, (0, 1, 2), strict=True):
                os.dup2(own, number)
                os.close(own)
            # Loggers that were made during the parse go on writing to this number.
            os.dup2(log, self._log, inheritable=False)
            close_all(self._outputs)
            ends = [socket.socket(fileno=number) for number in (requests, out, err)]
            sdk._fork_main(*ends, log, self._run_task)
        except BaseException:  # noqa: BLE001 - the last frame of a forked process
            sys.excepthook(*sys.exc_info())
        os._exit(124)  # as Airflow's own

    def _leave_to_parent(self) -> None:
        # Kept, as the end of the old ones would close the new ones, which have their numbers.
        _kept.extend((sys.stdin, sys.stdout, sys.stderr))
        for lent in self._lent.values():
            os.close(lent.pidfd)
            lent.reply.close()
        self._selector.close()
        self._requests.close()
        os.close(self._nursery)

    def _run_task(self) -> None:
        for function, args, named in self._verdict.exit_functions:
            atexit.register(function, *args, **named)
        numpy_chance.reseed()
        exporters.start_spans()
        from airflow.sdk.execution_time.supervisor import _subprocess_main

        main: Any = _subprocess_main
        main()


_kept: list[object] = []


def _set_group(pid: int, group: int) -> None:
    with suppress(OSError):  # it has done so itself, or has ended
        os.setpgid(pid, group)


def name_process(title: str) -> None:
    """Show a title in lists of processes, where that is possible."""
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(title)
