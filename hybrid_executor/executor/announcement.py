"""A scheduler announces itself in Redis, as workers and agents do: that it is alive, and with which configuration."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping

from hybrid_executor.errors import HybridError
from hybrid_executor.executor.clock import Timer
from hybrid_executor.executor.context import Context

log = logging.getLogger(__name__)

_EVERY_SECONDS = 10.0
_VALID_SECONDS = 45.0


class Announcement:
    """What one scheduler says of itself.

    :param read_identity: returns versions and fingerprints; called once, at the first announcement.
    """

    def __init__(self, context: Context, *, read_identity: Callable[[], Mapping[str, str]] = dict) -> None:
        self._context = context
        self._read_identity = read_identity
        self._identity: Mapping[str, str] | None = None
        self._began_at = time.time()
        self._timer = Timer(_EVERY_SECONDS, context.clock)
        self._is_said = False

    def say(self) -> None:
        """Announce this scheduler unless it did so a moment ago.

        :raises StoreUnavailable: Redis could not be asked.
        """
        if not self._timer.is_due():
            return
        if self._identity is None:
            self._identity = self._read_identity()
        fields = {
            "host": socket.gethostname(),
            "pid": str(os.getpid()),
            "began_at": str(int(self._began_at * 1000)),
            "pools": ",".join(self._context.settings.routes.pools),
            **self._identity,
        }
        self._context.store.presence.announce("scheduler", self._context.owner, fields, seconds=_VALID_SECONDS)
        self._timer.restart()
        self._is_said = True

    def withdraw(self) -> None:
        """Take the announcement back, at the end in good order. Raises nothing: it would expire soon anyway."""
        if not self._is_said:
            return
        try:
            self._context.store.presence.withdraw("scheduler", self._context.owner)
        except HybridError as error:
            log.debug("The announcement of this scheduler stays until it expires: %s", error)
