"""What a worker does for parsed files: opens the nursery before it forks its slots, and lets each slot use it."""

from __future__ import annotations

import logging
import os
import threading

from hybrid_workers.parsed import exporters, lent
from hybrid_workers.parsed.nursery import WAIT_SECONDS, start_nursery
from hybrid_workers.parsed.seams import find_missing_seam
from hybrid_workers.parsed.slot import Slot, ask_for_parsed_files
from hybrid_workers.parsed.surroundings import forks_have_threads, has_threads

log = logging.getLogger(__name__)


class ParsedFiles:
    """Parsed files of one worker. Does nothing until it is opened."""

    def __init__(self) -> None:
        self._slot: Slot | None = None
        self._obstacle = ""

    def open(self, *, parse_seconds: float, most_files: int, wait_seconds: float = WAIT_SECONDS) -> None:
        """Fork the nursery, in the worker's main process before there are threads and connections.

        :param parse_seconds: how old a parse may be; 0 for no nursery.
        :param wait_seconds: how long a task may wait for a parse, before it parses its file itself.
        """
        if not parse_seconds:
            return
        if missing := find_missing_seam():
            self._obstacle = f"{missing} is missing here"
            return
        with exporters.stopped():
            self._obstacle = _find_threads()
            if not self._obstacle:
                asks, nursery = start_nursery(
                    parse_seconds=parse_seconds, most_files=most_files, wait_seconds=wait_seconds
                )
                lent.open_table(nursery)
                self._slot = Slot(asks, os.environ)

    def explain(self) -> None:
        """Say why each task parses its file, where that is not what is configured. Before, logging is not set up."""
        if self._obstacle:
            log.info("Each task parses its Dag file, and worker_parse_seconds has no effect: %s", self._obstacle)

    def use(self) -> None:
        """Let the supervisors of this process, a slot, ask for processes that have parsed their file."""
        if self._slot is not None:
            ask_for_parsed_files(self._slot)


def _find_threads() -> str:
    if has_threads():
        names = ", ".join(sorted(thread.name for thread in threading.enumerate()[1:])) or "those of a library"
        return f"the worker has threads before it forks its processes ({names})"
    return "a library starts a thread in each process that is forked" if forks_have_threads() else ""
