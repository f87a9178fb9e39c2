"""Leases that this process holds or tries to get: who watches, who repairs.

Promises: a lease counts as held until its time has passed on this process's clock, counted from before the request to
Redis. So this process gives it up no later than Redis gives it to another.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from hybrid_executor.complaints import REDIS, REDIS_UNAVAILABLE, Complaints
from hybrid_executor.errors import HybridError, StoreUnavailable
from hybrid_executor.store import Lease, Leases

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.5


class KeptLease:
    """One lease that this process holds or tries to get.

    :param holder: name of this process; another process with the same name would share the lease.
    :param seconds: how long it lasts without a renewal.
    :param on_loss: is called with its name where it expired, or another process took it, while this one had it.
    """

    def __init__(
        self,
        leases: Leases,
        name: str,
        *,
        holder: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        on_loss: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._on_loss = on_loss
        self.seconds = seconds
        self._leases = leases
        self._holder = holder
        self._clock = clock
        self._lock = threading.Lock()
        self._lease: Lease | None = None
        self._until = 0.0
        self._not_before = 0.0
        self._granted = threading.Event()

    @property
    def is_held(self) -> bool:
        """Whether this process holds it now."""
        return self._lease is not None and self._clock() < self._until

    @property
    def current(self) -> Lease | None:
        """The lease with its fencing number, None while it is not held."""
        return self._lease if self.is_held else None

    def keep(self) -> bool:
        """Take or renew the lease; return whether it is held.

        :raises StoreUnavailable: Redis could not be asked; a held lease stays held until it expires.
        """
        with self._lock:
            asked_at = self._clock()
            if asked_at < self._not_before:
                return False
            had_it, before = self.is_held, self._lease
            lease = self._leases.take(self.name, holder=self._holder, seconds=self.seconds)
            self._lease = lease
            self._until = asked_at + self.seconds if lease else 0.0
        if before is not None and (lease is None or lease.fence != before.fence):
            self._on_loss(self.name)
        if lease is None:
            self._granted.clear()
            if had_it:
                log.warning("Lost the lease %s to another agent", self.name)
            return False
        if not had_it:
            log.info("Took the lease %s (%s)", self.name, lease.fence)
        self._granted.set()
        return True

    def wait_until_held(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for the lease; return whether it is held."""
        if self.is_held:
            return True
        self._granted.clear()
        self._granted.wait(seconds)
        return self.is_held

    def release(self) -> None:
        """Release the lease, so that others need not wait until it expires."""
        with self._lock:
            lease, self._lease, self._until = self._lease, None, 0.0
            self._granted.clear()
            if lease is not None:
                self._leases.release(lease)

    def step_back(self, seconds: float) -> None:
        """Release the lease and do not take it again for ``seconds``, so that another can."""
        self._not_before = self._clock() + seconds
        self.release()


class LeaseKeeper:
    """Renews leases at a third of their time.

    :ivar turned_at: when its thread last came round, in seconds since the epoch; 0 before it started.
    """

    def __init__(self, complaints: Complaints) -> None:
        self.turned_at = 0.0
        self._complaints = complaints
        self._changed = threading.Condition()
        self._leases: list[KeptLease] = []
        self._is_changed = False

    def add(self, lease: KeptLease) -> None:
        """Take and renew ``lease`` from now on."""
        with self._changed:
            self._leases.append(lease)
            self._is_changed = True
            self._changed.notify_all()

    def remove(self, lease: KeptLease) -> None:
        """Stop renewing ``lease``, and release it for good.

        :raises StoreUnavailable: it could not be released; it expires by itself.
        """
        with self._changed:
            self._leases = [known for known in self._leases if known is not lease]
        lease.step_back(float("inf"))

    @property
    def held(self) -> list[str]:
        """The names of the leases that are held."""
        return [lease.name for lease in self._snapshot() if lease.is_held]

    @property
    def kept(self) -> list[KeptLease]:
        """All leases that this process holds or tries to get."""
        return self._snapshot()

    def run(self, stop: threading.Event) -> None:
        """Take and renew all leases until ``stop``."""
        while not stop.is_set():
            self.turned_at = time.time()
            with self._changed:
                self._is_changed = False
            leases = self._snapshot()
            self._keep_all(leases)
            self._wait(stop, min((lease.seconds for lease in leases), default=3.0) / 3)

    def release_all(self) -> None:
        """Release all leases for good."""
        for lease in self._snapshot():
            lease.step_back(float("inf"))

    def _keep_all(self, leases: Iterable[KeptLease]) -> None:
        for lease in leases:
            try:
                lease.keep()
            except StoreUnavailable as error:
                self._complaints.report(REDIS, REDIS_UNAVAILABLE, error)
                return
            except HybridError as error:
                self._complaints.report(f"lease:{lease.name}", "The lease %s cannot be renewed: %s", lease.name, error)

    def _wait(self, stop: threading.Event, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            with self._changed:
                if self._is_changed:
                    return
                self._changed.wait(min(left, _TICK_SECONDS))

    def _snapshot(self) -> list[KeptLease]:
        with self._changed:
            return list(self._leases)
