"""Reads Redis URLs, for the store and for Celery's broker. Opens no connection.

Two libraries read these URLs, redis-py and kombu, and they differ. A form that one of them accepts is read here with
its meaning in that library, and both get the same address. What both cannot do is a ConfigError. No error repeats a
part of a URL: in a wrong URL, any part may belong to the password.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from hybrid_executor.config.options import parse_bool
from hybrid_executor.config.redis_address import RedisAddress, tls_of
from hybrid_executor.errors import ConfigError

FORMS = (
    "redis://[user:password@]host:6379/0, rediss://... for TLS, redis+socket:///path/redis.sock?virtual_host=0, or "
    "sentinel://host:26379/0;sentinel://host2:26379/0 with master_name"
)
_SCHEMES = {
    "redis": "tcp",
    "rediss": "tls",
    "valkey": "tcp",
    "valkeys": "tls",
    "redis+socket": "socket",
    "unix": "socket",
    "socket": "socket",
    "sentinel": "sentinel",
}

_NUMBERS = frozenset({"socket_timeout", "socket_connect_timeout", "health_check_interval", "max_connections"})
_WHOLE = frozenset({"health_check_interval", "max_connections"})
_TRUTHS = frozenset({"socket_keepalive", "retry_on_timeout", "ssl_check_hostname", "ssl"})
_CLIENT = _NUMBERS | {"socket_keepalive", "retry_on_timeout", "client_name"}
_TLS_TEXTS = frozenset({"ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password"})
_TLS = _TLS_TEXTS | {"ssl_cert_reqs", "ssl_check_hostname", "ssl_min_version", "ssl_ciphers"}
_DATABASE = frozenset({"db", "virtual_host"})
_LOGIN = frozenset({"username", "password", "credential_provider"})
_IN_QUERY = _CLIENT | _TLS | _DATABASE | _LOGIN | {"master_name"}
_TAKEN = frozenset({"host", "port", "path", "unix_socket_path", "connection_class", "decode_responses"})
_CERT_REQS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_RESERVED = "in user and password write %2F for /, %40 for @, %23 for #, %3F for ?, %3B for ;, %25 for %"


class _Wrong(Exception):
    """The problem of a URL; the message has no part of it."""


def is_redis_url(url: str) -> bool:
    """Return whether a broker's URL is meant for a Redis, even if it is malformed."""
    scheme = url.strip().partition(":")[0].lower()
    return scheme in _SCHEMES or scheme.startswith(("redis", "valkey", "sentinel"))


def parse_redis_url(
    url: str, options: Mapping[str, Any] | None = None, *, option: str = "The Redis URL"
) -> RedisAddress:
    """Return the address in a URL and in more arguments of the client.

    If both have the same option, the URL wins, as in redis-py.

    :param options: with redis-py's names, and ``master_name`` and ``sentinel_kwargs``. Unknown ones go to the store.
    :param option: the option with the URL, for the error.
    :raises ConfigError: it is malformed, or both libraries cannot do the same with it.
    """
    try:
        return _parse(url.strip(), dict(options or {}))
    except _Wrong as problem:
        raise ConfigError(f"{option} is not valid: {problem}.") from None


def _parse(url: str, options: dict[str, Any]) -> RedisAddress:
    kind = _SCHEMES.get(url.partition("://")[0].lower()) if "://" in url else None
    if kind is None:
        raise _Wrong(f"write {FORMS}")
    parts = [_split(part) for part in _members(url, kind)]
    queries = [_read_query(part) for part in parts]
    said: dict[str, Any] = {name: _agreed(queries, name) for query in queries for name in query}
    texts = [str(query[name]) for query in queries for name in _DATABASE & query.keys()]
    if kind != "socket":
        texts += [unquote(part.path) for part in parts]
    texts = [text for text in (text.strip("/") for text in texts) if text]
    database = _database(texts or [str(options.get("db", 0))])
    logins = [_login(part) for part in parts]
    values = {name: _convert(name, value) for name, value in {**options, **said}.items() if name in _IN_QUERY}
    username, password = (
        _one({login[i] for login in logins if login[i]}) or str(values.get(name) or "")
        for i, name in enumerate(("username", "password"))
    )
    provider = values.get("credential_provider") or ""
    if provider and (username or password):
        raise _Wrong("it has a credential_provider and also a user or password; remove one of them")
    sentinel_kwargs = options.get("sentinel_kwargs") or {}
    if not isinstance(sentinel_kwargs, Mapping):
        raise _Wrong("sentinel_kwargs is not a JSON object")
    return RedisAddress(
        kind="sentinel" if kind == "sentinel" else "socket" if kind == "socket" else "tcp",
        hosts=() if kind == "socket" else tuple(_host(part) for part in parts),
        path=_socket_path(parts[0]) if kind == "socket" else "",
        database=database,
        username=username,
        password=password,
        tls=_tls(kind, values, wants_tls=_convert("ssl", options.get("ssl")) is True),
        client={name: values[name] for name in sorted(_CLIENT & values.keys())},
        credential_provider=str(provider),
        master_name=str(values.get("master_name") or ""),
        sentinel_kwargs=sentinel_kwargs,
        further=_further(options),
    )


def _members(url: str, kind: str) -> list[str]:
    members = [part.strip() for part in url.split(";") if part.strip()]
    if kind == "sentinel":
        if not all(part.lower().startswith("sentinel://") for part in members):
            raise _Wrong("begin each Sentinel of the list with sentinel://")
    elif len(members) > 1 or ";" in url:
        raise _Wrong(
            "it has a ';'. With several Redis servers, each of them would have a part of the state: write one server, "
            f"or sentinel:// URLs; {_RESERVED}"
        )
    return members


def _split(url: str) -> SplitResult:
    """Return a URL's parts.

    A password that is not encoded is found here: it leaves text between two slashes or after a ``#``.
    """
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in url):
        raise _Wrong(f"it has a control character; {_RESERVED}, %0A for a line break")
    try:
        parts = urlsplit(url)
        is_port = parts.port is None or parts.port > 0
    except ValueError:
        is_port = False
    if not is_port:
        raise _Wrong(f"host or port is malformed: write {FORMS}; {_RESERVED}, and IPv6 addresses as [::1]:6379")
    is_path_text = parts.scheme not in ("unix", "socket", "redis+socket") and "@" in parts.path
    if "#" in url or "@" in parts.query or is_path_text:
        raise _Wrong(f"it has a # or a second @; {_RESERVED}")
    return parts


def _read_query(parts: SplitResult) -> dict[str, str]:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = dict(pairs)
    if query.keys() - _IN_QUERY:
        raise _Wrong(f"unknown option after '?': write one of {', '.join(sorted(_IN_QUERY))}; {_RESERVED}")
    if len(query) != len(pairs):
        raise _Wrong("an option after '?' appears twice")
    return query


def _agreed(queries: list[dict[str, str]], name: str) -> str:
    return _one({query[name] for query in queries if name in query})


def _one(values: set[str]) -> str:
    if len(values) > 1:
        raise _Wrong("its parts have different users, passwords, databases or options; write the same in all of them")
    return next(iter(values), "")


def _database(texts: list[str]) -> int:
    if not all(text.isascii() and text.isdigit() for text in texts):
        raise _Wrong(f"the database is not a number: end the URL with /0 or another number; {_RESERVED}")
    if len({int(text) for text in texts}) > 1:
        raise _Wrong("it has two different databases: write the number once, as in redis://host:6379/0")
    return int(texts[0])


def _login(parts: SplitResult) -> tuple[str, str]:
    return unquote(parts.username or ""), unquote(parts.password or "")


def _host(parts: SplitResult) -> tuple[str, int | None]:
    return unquote(parts.hostname or "") or "localhost", parts.port


def _socket_path(parts: SplitResult) -> str:
    path = unquote(parts.path)
    is_login_whole = not parts.netloc or (parts.netloc.endswith("@") and "@" not in parts.path)
    if not is_login_whole or not path.strip("/"):
        raise _Wrong(
            f"write the full path of the socket after three slashes, redis+socket:///run/redis.sock; {_RESERVED}"
        )
    return path


def _further(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for the store's client only."""
    if taken := sorted(_TAKEN & options.keys()):
        raise _Wrong(f"redis_options must not have {', '.join(taken)}: the URL says where Redis is")
    return {name: value for name, value in options.items() if name not in _IN_QUERY | {"ssl", "sentinel_kwargs"}}


def _tls(kind: str, values: Mapping[str, Any], *, wants_tls: bool) -> dict[str, Any] | None:
    given = {name: values[name] for name in sorted(_TLS & values.keys())}
    is_wanted = kind == "tls" or wants_tls or (kind == "sentinel" and bool(given))
    if not is_wanted and given:
        raise _Wrong("it has TLS options, but does not use TLS: begin it with rediss://, or remove the options")
    if is_wanted and kind == "socket":
        raise _Wrong("a socket has no TLS: remove the TLS options")
    return tls_of(given) if is_wanted else None


def _convert(name: str, value: Any) -> Any:
    """Return the value with its type. A URL has text only; ``redis_options`` may have other types."""
    if name == "ssl_cert_reqs":
        return _cert_reqs(value)
    if not isinstance(value, str):
        return value
    if name in _TRUTHS:
        try:
            return parse_bool(value)
        except ValueError:
            raise _Wrong(f"{name} is not True or False") from None
    try:
        if name in _NUMBERS:
            return int(value) if name in _WHOLE else float(value)
        if name == "ssl_min_version":
            return ssl.TLSVersion(int(value)) if value.isdigit() else ssl.TLSVersion[value]
    except (ValueError, KeyError):
        raise _Wrong(f"{name} is not a number" + (" or TLSv1_2" if name == "ssl_min_version" else "")) from None
    return value


def _cert_reqs(value: Any) -> ssl.VerifyMode:
    if isinstance(value, ssl.VerifyMode):
        return value
    text = "none" if value is None else str(value).lower().removeprefix("cert_")
    if text not in _CERT_REQS:
        raise _Wrong("ssl_cert_reqs is unknown: write required, optional or none (or CERT_REQUIRED and so on)")
    return _CERT_REQS[text]
