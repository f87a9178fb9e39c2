"""Address and credentials of the API server, loaded by the official library's own configuration code.

Promises: in-cluster accounts, kubeconfig files, exec plugins and token renewal work as in every other tool that uses
the library; nothing of the library's global state is read or changed. The library is imported when a connection is
made, not before: it takes most of a second.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.util import Retry
from yaml import YAMLError

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import ConfigError
from hybrid_executor.kube.endpoint import Endpoint, endpoint_of
from hybrid_executor.kube.transport import DEFAULT_RETRY, DEFAULT_TIMEOUT, Transport

_WATCHES_AND_CHECKS = 8  # connections beside those that create pods
_SECTION = "[kubernetes_executor]"


def open_transport(
    settings: KubernetesSettings,
    *,
    context: str | None = None,
    config_file: str | None = None,
    in_cluster: bool | None = None,
) -> Transport:
    """Return a transport to the configured API server. Nothing is sent yet.

    ``context`` and ``config_file`` (a profile's cluster) replace the configured ones; either of them means "not
    in-cluster" unless ``in_cluster`` says otherwise, and then ``client_factory`` is not used.

    :raises ConfigError: the configuration cannot be loaded, saying which option to set.
    """
    if settings.client_factory and context is None and config_file is None and in_cluster is None:
        load = partial(_endpoint_of_factory, settings.client_factory)
    else:
        if in_cluster is None:
            in_cluster = settings.in_cluster and context is None and config_file is None
        load = partial(
            _endpoint_of_settings,
            settings,
            context=context if context is not None else settings.cluster_context,
            config_file=config_file if config_file is not None else settings.config_file,
            in_cluster=in_cluster,
        )
    endpoint = load()
    return Transport(
        endpoint.pool,
        endpoint.host,
        credentials=endpoint.credentials,
        timeout=settings.request_timeout or DEFAULT_TIMEOUT,
        retry=_retry(settings.retry_arguments),
        reload=load,
    )


def _endpoint_of_settings(
    settings: KubernetesSettings, *, context: str, config_file: str, in_cluster: bool
) -> Endpoint:
    configuration = _load_configuration(context=context, config_file=config_file, in_cluster=in_cluster)
    if not settings.verify_ssl:
        configuration.verify_ssl = False
    if settings.ssl_ca_cert:
        configuration.ssl_ca_cert = settings.ssl_ca_cert
    configuration.connection_pool_maxsize = settings.launch_concurrency + _WATCHES_AND_CHECKS
    if settings.enable_tcp_keepalive:
        configuration.socket_options = keepalive_options(settings)
    return endpoint_of(configuration)


def _endpoint_of_factory(path: str) -> Endpoint:
    api_client = _client_of_factory(path)
    return endpoint_of(api_client.configuration, pool=api_client.rest_client.pool_manager)


def keepalive_options(settings: KubernetesSettings) -> list[tuple[int, int, int]]:
    """Return socket options that let the kernel find half-open connections, as far as the platform has them."""
    # urllib3 replaces its own options (TCP_NODELAY) by ours.
    options = [(int(level), int(name), int(value)) for level, name, value in HTTPConnection.default_socket_options]
    options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
    for name, value in (
        ("TCP_KEEPIDLE", settings.tcp_keep_idle),
        ("TCP_KEEPINTVL", settings.tcp_keep_intvl),
        ("TCP_KEEPCNT", settings.tcp_keep_cnt),
    ):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


def _load_configuration(*, context: str, config_file: str, in_cluster: bool) -> Any:
    """Return the library's Configuration, loaded from where we were told to."""
    from kubernetes import client, config

    loaders: Any = config  # the library has no types for them
    configuration = client.Configuration()
    # Some releases of the library take a proxy from the environment, by other rules than ours.
    configuration.proxy = None
    _forget_lost_files()
    try:
        if in_cluster:
            loaders.load_incluster_config(client_configuration=configuration)
        else:
            # The library reads KUBECONFIG once, when it is imported; a test or a command may set it later.
            loaders.load_kube_config(
                config_file=os.path.expanduser(config_file) or os.environ.get("KUBECONFIG") or None,
                context=context or None,
                client_configuration=configuration,
            )
    except (config.ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError, YAMLError) as exc:
        raise ConfigError(_advice(exc, context=context, config_file=config_file, in_cluster=in_cluster)) from exc
    return configuration


def _forget_lost_files() -> None:
    """Let the library write its temporary files again if a cleaner of /tmp removed them."""
    from kubernetes.config import kube_config

    files: dict[str, str] = getattr(kube_config, "_temp_files", {})
    for content, file in list(files.items()):
        if not os.path.isfile(file):
            files.pop(content, None)


def _advice(cause: Exception, *, context: str, config_file: str, in_cluster: bool) -> str:
    if in_cluster:
        return (
            f"{_SECTION} in_cluster = True, but this process has no service account of a pod ({cause}). Outside of "
            f"Kubernetes set {_SECTION} in_cluster = False and config_file to a kubeconfig file."
        )
    where = f"file {config_file}" if config_file else "file of KUBECONFIG or ~/.kube/config"
    which = f", context {context}" if context else ""
    return (
        f"The kubeconfig {where}{which} cannot be used: {str(cause).rstrip('.')}. Set {_SECTION} config_file and "
        "cluster_context (or those of the profile) to a file and context that work with kubectl."
    )


def _client_of_factory(path: str) -> Any:
    module_name, _, name = path.rpartition(".")
    if not module_name:
        raise ConfigError(f"{_SECTION} client_factory = {path!r} is not valid: write module.function.")
    try:
        factory = getattr(import_module(module_name), name)
    except (ImportError, AttributeError) as exc:
        raise ConfigError(f"{_SECTION} client_factory = {path!r} cannot be imported: {exc}.") from exc
    api = factory()
    if not hasattr(getattr(api, "api_client", None), "rest_client"):
        raise ConfigError(
            f"{_SECTION} client_factory = {path!r} returned {type(api).__name__}: it must return a "
            "kubernetes.client.CoreV1Api."
        )
    return api.api_client


def _retry(arguments: Mapping[str, Any]) -> Retry:
    if not arguments:
        return DEFAULT_RETRY
    try:
        # Each status is translated by us: urllib3 must hand the last answer out instead of raising for it.
        return Retry(**{"raise_on_status": False, **arguments})
    except TypeError as exc:
        raise ConfigError(
            f"{_SECTION} api_client_retry_configuration is not valid: {exc}. Write arguments of urllib3.util.Retry."
        ) from exc
