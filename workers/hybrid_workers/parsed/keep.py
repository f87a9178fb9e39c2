"""What a worker does for parsed files: opens the nursery before it forks its slots, and lets each slot use it."""

from __future__ import annotations

import logging
import os

from hybrid_workers.parsed import lent
from hybrid_workers.parsed.nursery import start_nursery
from hybrid_workers.parsed.seams import find_missing_seam
from hybrid_workers.parsed.slot import Slot, ask_for_parsed_files

log = logging.getLogger(__name__)


class ParsedFiles:
    """Parsed files of one worker. Does nothing until it is opened."""

    def __init__(self) -> None:
        self._slot: Slot | None = None

    def open(self, *, parse_seconds: float, most_files: int) -> None:
        """Fork the nursery, in the worker's main process before there are threads and connections.

        :param parse_seconds: how old a parse may be; 0 for no nursery.
        """
        if not parse_seconds:
            return
        if missing := find_missing_seam():
            log.info("Each task parses its Dag file: %s is missing here", missing)
            return
        asks, nursery = start_nursery(parse_seconds=parse_seconds, most_files=most_files)
        if asks is not None:
            lent.open_table(nursery)
            self._slot = Slot(asks, os.environ)

    def use(self) -> None:
        """Let the supervisors of this process, a slot, ask for processes that have parsed their file."""
        if self._slot is not None:
            ask_for_parsed_files(self._slot)
