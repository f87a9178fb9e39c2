"""Writes an agent's vitals every few seconds, for the probe."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping

from hybrid_executor.agent.vitals import AgentVitals, remove_vitals, remove_vitals_of_ended, write_vitals

log = logging.getLogger(__name__)

_EVERY_SECONDS = 5.0


class Pulse:
    """The vitals of one agent.

    :ivar trouble: what the agent waits for, in words; "" for nothing.
    :param threads: returns when each thread that must go on last came round (seconds since the epoch), by what it does.
    """

    def __init__(self, name: str, *, threads: Callable[[], Mapping[str, float]]) -> None:
        self.trouble = ""
        self._name = name
        self._threads = threads
        self._next = 0.0
        self._is_told = False

    def beat(self) -> None:
        """Note that the main thread goes on; writes at most every five seconds. Never raises."""
        if time.monotonic() < self._next:
            return
        is_first, self._next = self._next == 0.0, time.monotonic() + _EVERY_SECONDS
        turned_at = {does: at for does, at in self._threads().items() if at}
        try:
            if is_first:
                remove_vitals_of_ended()
            write_vitals(
                AgentVitals(
                    name=self._name,
                    pid=os.getpid(),
                    host=socket.gethostname(),
                    written_at=time.time(),
                    turned_at=turned_at,
                    trouble=self.trouble,
                )
            )
        except OSError as error:
            if not self._is_told:
                log.warning("The agent's health cannot be written, so agent-probe fails: %s", error)
            self._is_told = True

    def end(self) -> None:
        """Remove the file."""
        try:
            remove_vitals(self._name)
        except OSError as error:
            log.debug("The agent's health file was not removed: %s", error)
