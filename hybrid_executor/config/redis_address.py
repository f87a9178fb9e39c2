"""The address of a Redis, from which the store's client and Celery's transport are made. Pure.

Promises: both connect to the same server and database with the same user and the same TLS checks, and no default of a
library is used. The text form of an address never shows a password.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379

_OF_TCP = frozenset({"socket_keepalive", "socket_keepalive_options", "socket_connect_timeout"})


@dataclass(frozen=True, kw_only=True)
class RedisAddress:
    """One Redis or Valkey database.

    :ivar hosts: host and port of the server, or those of all Sentinels; ``None`` for the usual port.
    :ivar path: file of the socket, if it is a socket.
    :ivar tls: arguments of a TLS connection with redis-py's names; ``None`` for no TLS.
    :ivar client: timeouts and similar options with redis-py's names, which kombu's transport knows too.
    :ivar credential_provider: import path of a class that returns user and password; "" for none.
    :ivar further: arguments that only the store's client knows.
    """

    kind: Literal["tcp", "socket", "sentinel"]
    hosts: tuple[tuple[str, int | None], ...] = ()
    path: str = ""
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: Mapping[str, Any] | None = field(default=None, repr=False)
    client: Mapping[str, Any] = field(default_factory=dict)
    credential_provider: str = ""
    master_name: str = ""
    sentinel_kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    further: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """The address as kombu reads it; TLS arguments are not part of it. It may hold a password."""
        query = {"credential_provider": self.credential_provider} if self.credential_provider else {}
        if self.kind == "socket":
            ending = urlencode({"virtual_host": self.database, **query})
            return f"redis+socket://{self._login}{quote(self.path)}?{ending}"
        ending = f"?{urlencode(query)}" if query else ""
        scheme = "sentinel" if self.kind == "sentinel" else "redis" if self.tls is None else "rediss"
        places = [f"{scheme}://{self._login}{_netloc(host, port)}" for host, port in self.hosts]
        # kombu reads database and user from the URL of the Sentinel that it uses; the default is database 0
        others = f"/{self.database}{ending}" if self.database or ending else ""
        return "".join(f"{place}{others};" for place in places[:-1]) + f"{places[-1]}/{self.database}{ending}"

    @property
    def place(self) -> tuple[object, ...]:
        """A value that is equal for two addresses of the same database, even if they are written differently."""
        if self.kind == "socket":
            return "socket", self.path, self.database
        usual = SENTINEL_PORT if self.kind == "sentinel" else DEFAULT_PORT
        hosts = {("localhost" if host == "127.0.0.1" else host.lower(), port or usual) for host, port in self.hosts}
        return self.kind, frozenset(hosts), self.master_name, self.database

    def connection_arguments(self) -> dict[str, Any]:
        """Return the arguments of a redis-py connection, without address and credential provider."""
        arguments: dict[str, Any] = {"db": self.database, **self.client, **self.further}
        arguments |= {"username": self.username} if self.username else {}
        arguments |= {"password": self.password} if self.password else {}
        arguments |= dict(self.tls) if self.tls is not None else {}
        return self.without_foreign(arguments)

    def without_foreign(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments without those that this kind of connection does not accept."""
        return {name: value for name, value in arguments.items() if self.kind != "socket" or name not in _OF_TCP}

    @property
    def _login(self) -> str:
        if not self.username and not self.password:
            return ""
        secret = f":{quote(self.password, safe='')}" if self.password else ""
        return f"{quote(self.username, safe='')}{secret}@"


def tls_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return TLS arguments that check the server's certificate unless ``options`` say otherwise."""
    tls = {"ssl_cert_reqs": ssl.CERT_REQUIRED, **options}
    if tls["ssl_cert_reqs"] is ssl.CERT_NONE:
        tls.pop("ssl_check_hostname", None)  # without a certificate there is no name to check
    return tls


def _netloc(host: str, port: int | None) -> str:
    name = f"[{host.replace('%', '%25')}]" if ":" in host else quote(host, safe="")
    return name if port is None else f"{name}:{port}"
