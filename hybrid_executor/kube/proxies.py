"""Which proxy to use for an API server, from the environment's HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY. Pure.

Decided here and not by the Kubernetes library: its releases differ (29 reads no proxy variable, 34 and 35 ignore
NO_PROXY). The rules are those of curl and Python: the lower-case variable wins over the upper-case one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

_PORTS = {"http": 80, "https": 443}


def proxy_for(url: str, environment: Mapping[str, str]) -> str:
    """Return the URL of the proxy to use for ``url``, "" for a direct connection.

    A proxy without a scheme is an ``http://`` one, as everywhere.
    """
    target = urlsplit(url)
    proxy = _variable(environment, f"{target.scheme}_proxy") or _variable(environment, "all_proxy")
    if not proxy or bypasses_proxy(url, _variable(environment, "no_proxy")):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def bypasses_proxy(url: str, no_proxy: str) -> bool:
    """Return whether ``no_proxy`` excepts the host of ``url`` from proxies.

    Entries are separated by commas or spaces: ``*`` (all hosts), an address, a network (``10.0.0.0/8``), or a name,
    which also stands for all names below it (``example.com``, ``.example.com`` and ``*.example.com`` are the same).
    Each may end in a port, and then holds for that port only.
    """
    target = urlsplit(url)
    return any(_matches(entry, target) for entry in no_proxy.replace(",", " ").lower().split())


def _variable(environment: Mapping[str, str], name: str) -> str:
    # Set but empty in lower case switches the upper-case one off, as in Python's urllib.
    value = environment.get(name)
    return (environment.get(name.upper(), "") if value is None else value).strip()


def _matches(entry: str, target: SplitResult) -> bool:
    if entry == "*":
        return True
    host = (target.hostname or "").rstrip(".")
    address = _address(host)
    if address is not None and _in_network(address, entry):
        return True
    name, port = _split_port(entry)
    if port and int(port) != (target.port or _PORTS.get(target.scheme)):
        return False
    if address is not None:
        return _address(name) == address
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, str]:
    """Return host and port of an entry; an IPv6 address with a port stands in brackets."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = entry.rpartition(":")
    return (host, port) if host and ":" not in host and port.isdecimal() else (entry, "")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, entry: str) -> bool:
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
