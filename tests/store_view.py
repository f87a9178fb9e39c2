"""What tests want to know of the store and the product does not ask."""

from __future__ import annotations

from hybrid_executor.store import Store
from hybrid_executor.store.presence import Role


def alive(store: Store, role: Role) -> set[str]:
    """Return the names of all whose announcement has not expired."""
    return {member.name for member in store.presence.members(role) if member.is_alive}


def lease_holder(store: Store, name: str) -> str:
    """Return who took the lease last, "" for nobody."""
    return str(store.client.hget(store.keys.lease(name), "holder") or "")


def launches_length(store: Store, cluster: str) -> int:
    """Return how many entries of a launch stream wait or are being worked on."""
    return int(store.client.xlen(store.keys.launch(cluster)))


def queue_length(store: Store, queue_key: str) -> int:
    """Return how many messages a broker list on the store's Redis holds."""
    return int(store.client.llen(queue_key))
