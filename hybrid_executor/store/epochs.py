"""Which data Redis holds: an epoch ends when data may have been lost, and then everybody tells what they know.

Data is lost where the epoch's key is gone (flushed, an empty server), and may be lost where the server is another one:
started anew from a file that lacks the last second, or a replica that took over before it had everything. The server's
replication id tells that. A server that does not tell it (some hosted ones) is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass

SETTLING_SECONDS = 15
"""How long what was submitted before waits: owners ask a Redis that was away every 10 s, workers every second."""

KEPT_SECONDS = 30 * 86400


@dataclass(frozen=True)
class Epoch:
    """One epoch.

    :ivar unsettled_before: what was submitted before this time is not to start yet; the server's milliseconds, 0 for
        nothing.
    """

    name: str
    unsettled_before: int = 0
