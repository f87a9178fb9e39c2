"""One loaded configuration of an API server: address, connection pool and credentials, all of one moment.

Promises: built from the library's configuration without its own HTTP client, whose pool differs between its releases;
no error shows a token.
"""

from __future__ import annotations

import inspect
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3

from hybrid_executor.errors import ConfigError, KubeUnavailable
from hybrid_executor.kube.proxies import proxy_for
from hybrid_executor.kube.tls import accept_old_forms


@dataclass(frozen=True, eq=False)
class Endpoint:
    """Where requests go and how.

    :ivar credentials: returns the headers of authentication, valid now; called by one thread at a time; raises
        KubeUnavailable if there are none.
    """

    pool: urllib3.PoolManager
    host: str
    credentials: Callable[[], Mapping[str, str]] = field(default=dict, repr=False)


def endpoint_of(configuration: Any, *, pool: urllib3.PoolManager | None = None) -> Endpoint:
    """Return the endpoint of the library's ``Configuration``.

    :param pool: one that was made already, by a client_factory.
    :raises ConfigError: the proxy of the environment cannot be used.
    """
    host = str(configuration.host).rstrip("/")
    if pool is None:
        # A proxy in the kubeconfig wins over the environment, as with kubectl.
        pool = _make_pool(configuration, proxy=configuration.proxy or proxy_for(host, os.environ))
    elif isinstance(pool, urllib3.ProxyManager) and _is_excepted(configuration, host):
        pool = _make_pool(configuration, proxy="")
    return Endpoint(pool, host, _Credentials(configuration))


def _is_excepted(configuration: Any, host: str) -> bool:
    """Return whether the proxy comes from the environment and NO_PROXY excludes this host."""
    from_environment = {os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")}
    return configuration.proxy in from_environment and not proxy_for(host, os.environ)


def _make_pool(configuration: Any, *, proxy: str) -> urllib3.PoolManager:
    pool = _make_strict_pool(configuration, proxy=proxy)
    accept_old_forms(pool)
    return pool


def _make_strict_pool(configuration: Any, *, proxy: str) -> urllib3.PoolManager:
    arguments: dict[str, Any] = {
        "cert_reqs": ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE,
        "ca_certs": configuration.ssl_ca_cert,
        "cert_file": configuration.cert_file,
        "key_file": configuration.key_file,
    }
    # Newer releases of the library have more of them than older ones.
    for name, argument in (
        ("ca_cert_data", "ca_cert_data"),
        ("assert_hostname", "assert_hostname"),
        ("tls_server_name", "server_hostname"),
        ("socket_options", "socket_options"),
        ("connection_pool_maxsize", "maxsize"),
    ):
        value = getattr(configuration, name, None)
        if value is not None:
            arguments[argument] = value
    if not proxy:
        return urllib3.PoolManager(**arguments)
    if proxy.lower().startswith("socks"):
        return _socks_pool(proxy, arguments)
    headers = dict(configuration.proxy_headers or {})
    parts = urlsplit(proxy)
    if parts.username:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers.update(urllib3.make_headers(proxy_basic_auth=user))
    return urllib3.ProxyManager(proxy, proxy_headers=headers or None, **arguments)


def _socks_pool(proxy: str, arguments: Mapping[str, Any]) -> urllib3.PoolManager:
    try:
        from urllib3.contrib.socks import SOCKSProxyManager
    except ImportError as exc:
        raise ConfigError("The environment names a SOCKS proxy: install PySocks, or set NO_PROXY.") from exc
    return SOCKSProxyManager(proxy, **arguments)


class _Credentials:
    """Headers of authentication from the library's configuration, whose hook renews tokens that expired."""

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration

    @property
    def renews(self) -> bool:
        """The library replaces a token that is about to expire (account of a pod, exec plugin)."""
        from kubernetes.config.kube_config import KubeConfigLoader

        hook = getattr(self._configuration, "refresh_api_key_hook", None)
        loader = inspect.getclosurevars(hook).nonlocals.get("self") if inspect.isfunction(hook) else None
        # For a kubeconfig there always is a hook. It does something only where the loader knows when the token expires.
        return hook is not None and (not isinstance(loader, KubeConfigLoader) or hasattr(loader, "expiry"))

    def __call__(self) -> Mapping[str, str]:
        from kubernetes.config import ConfigException

        host = self._configuration.host
        try:
            found = self._configuration.auth_settings().values()
        except (ConfigException, OSError, ValueError) as exc:
            raise KubeUnavailable(
                f"Credentials for {host} could not be renewed: {exc}. Check the service account's token or the "
                "kubeconfig's user."
            ) from exc
        # Editors end a file, and so a token, with a newline; a header cannot have one.
        headers = {item["key"]: str(item["value"]).strip() for item in found if item["in"] == "header"}
        for value in headers.values():
            if not (value.isprintable() and value.isascii()):
                raise KubeUnavailable(
                    f"Credentials for {host} cannot be sent: the token holds a line break or another character that no "
                    "header may have. Write the token alone into its file, on one line."
                )
        return {key: value for key, value in headers.items() if value}
