"""Which data Redis holds. An epoch ends when data may have been lost; then all write again what they know.

Data is lost where the epoch's key is gone (flushed, an empty server). It may be lost where the server is another one:
it was restarted from a file that lacks the last second, or a replica took over before it had everything. Then the
server has another replication id. A server that does not show its id (some hosted ones) is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass

SETTLING_SECONDS = 15
"""How long attempts submitted before wait. Owners ask an unavailable Redis every 10 s, workers every second."""

KEPT_SECONDS = 30 * 86400


@dataclass(frozen=True)
class Epoch:
    """One epoch.

    :ivar unsettled_before: attempts submitted before this time must not start yet; milliseconds of the server, 0 for
        none.
    """

    name: str
    unsettled_before: int = 0
