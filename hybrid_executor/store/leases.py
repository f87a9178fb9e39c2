"""Leases with fencing, and the token bucket of pod creation: shared by all agents, on the server's clock."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from hybrid_executor.store.keys import Keys
from hybrid_executor.store.scripts import calls, run_script
from hybrid_executor.store.translation import translated


@dataclass(frozen=True)
class Lease:
    """A lease that is held. ``fence`` rises with each change of holder: a write with a lower one is stale."""

    name: str
    holder: str
    fence: int


class Leases:
    """Named leases of one instance."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def take(self, name: str, *, holder: str, seconds: float) -> Lease | None:
        """Take or renew a lease for ``seconds``; ``None`` where another holds it."""
        call = calls.Lease(
            lease_key=self._keys.lease(name), is_release=False, holder=holder, milliseconds=int(seconds * 1000)
        )
        fence = int(run_script(self._client, call))
        return Lease(name, holder, fence) if fence else None

    @translated
    def release(self, lease: Lease) -> None:
        """Give a lease back at once; nothing happens where it has passed on."""
        key = self._keys.lease(lease.name)
        run_script(self._client, calls.Lease(lease_key=key, is_release=True, holder=lease.holder, milliseconds=0))


class Rates:
    """Token buckets, one per cluster."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def take(self, cluster: str, *, wanted: int, early: int = 0, per_second: float, capacity: int) -> tuple[int, float]:
        """Take up to ``wanted`` tokens; return how many were granted and the seconds until one more is there.

        :param early: how many of them, from the first, may be taken before they are there: at most ``capacity`` tokens.
            Over any time, no more than ``per_second`` for each second and twice ``capacity`` are granted.
        """
        call = calls.Rate(
            rate_key=self._keys.rate(cluster), wanted=wanted, early=early, per_second=per_second, capacity=capacity
        )
        granted, wait_milliseconds = run_script(self._client, call)
        return int(granted), int(wait_milliseconds) / 1000
