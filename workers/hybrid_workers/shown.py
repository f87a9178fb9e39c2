"""What Celery's monitors may see of a connection to the broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kombu.connection import Connection
from kombu.utils.url import maybe_sanitize_url

_SECRET = frozenset({"sentinel_kwargs", "ssl_password"})
_PLAIN = (str, int, float, bool, type(None), list, tuple, dict)


class ShownConnection(Connection):
    """A connection that describes itself without a password, and in values that JSON has.

    ``celery inspect stats`` shows this description. Celery takes out the password alone, and not what stands in the
    URLs of Sentinels and sockets and in the transport's options. And with an option that is an object, such as an order
    of queues, its answer could not be written.
    """

    def info(self) -> dict[str, Any]:
        """Return the description, still with the one password that Celery takes out."""
        found: dict[str, Any] = dict(self._info())  # type: ignore[no-untyped-call]
        found["hostname"] = maybe_sanitize_url(found["hostname"])
        found["alternates"] = [maybe_sanitize_url(url) for url in found["alternates"] or ()]
        for name in ("transport_options", "ssl"):
            if isinstance(found[name], Mapping):
                found[name] = {key: _plain(value) for key, value in found[name].items() if key not in _SECRET}
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all of it, not the description."""
        return self.__class__, tuple(dict(self._info()).values()), None  # type: ignore[no-untyped-call]


def _plain(value: object) -> object:
    """Return a value that JSON has, for an object the name of its kind."""
    return value if isinstance(value, _PLAIN) else type(value).__name__
