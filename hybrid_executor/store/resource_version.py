"""The watch's resource version, kept in Redis so that the next watcher resumes where the last one was."""

from __future__ import annotations

import redis

from hybrid_executor.store.keys import Keys
from hybrid_executor.store.leases import Lease
from hybrid_executor.store.scripts import calls, run_script
from hybrid_executor.store.translation import translated
from hybrid_executor.store.wrong_types import is_wrong_type

_KEPT_SECONDS = 3600


class ResourceVersion:
    """The resource version of one cluster and namespace ("" for all namespaces).

    Opaque, as Kubernetes wants it: kept and handed back, never compared. A watcher that lost its lease cannot write.
    """

    def __init__(self, client: redis.Redis, keys: Keys, *, cluster: str, namespace: str) -> None:
        self._client = client
        self._keys = keys
        self._key = keys.version(cluster, namespace)

    @translated
    def get_resource_version(self) -> str:
        """Return the version to resume from, "" where a list has to come first."""
        try:
            return str(self._client.get(self._key) or "")
        except redis.ResponseError as error:
            if is_wrong_type(error):
                return ""
            raise

    @translated
    def set_resource_version(self, resource_version: str, *, lease: Lease | None = None) -> bool:
        """Remember ``resource_version``; return False where ``lease`` has passed on to another holder."""
        call = calls.Version(
            version_key=self._key,
            lease_key=self._keys.lease(lease.name if lease else "none"),
            version=resource_version,
            fence=lease.fence if lease else 0,
            kept_seconds=_KEPT_SECONDS,
        )
        return bool(run_script(self._client, call))

    @translated
    def clear(self) -> None:
        """Forget the version: it is too old, the next watch begins with a list."""
        self._client.delete(self._key)
