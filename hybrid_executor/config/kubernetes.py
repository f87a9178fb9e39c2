"""The section ``[kubernetes_executor]`` of an existing deployment, read unchanged.

Promises: every documented option is accepted and has its own default here, so nothing depends on which provider
declares the section; a wrong value is a :class:`~hybrid_executor.errors.ConfigError` that says what to write.
Must never import Airflow or the Kubernetes library.

Upstream creates pods in one loop and has options for it (``worker_pods_creation_batch_size``, ``async_pod_creation``,
``pod_creation_max_concurrency``). They are accepted. Their defaults do not limit anything here; higher values raise
:attr:`KubernetesSettings.launch_concurrency`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hybrid_executor.config.kubernetes_table import KUBERNETES_OPTIONS
from hybrid_executor.config.options import ConfigSource

__all__ = ["KUBERNETES_OPTIONS", "KubernetesSettings", "camel_case", "read_kubernetes_settings"]

DEFAULT_LAUNCH_CONCURRENCY = 16
_UPSTREAM_FATAL_REASONS = frozenset(
    {"CreateContainerConfigError", "ErrImagePull", "CreateContainerError", "ImageInspectError", "InvalidImageName"}
)
UNLIMITED = -1

Timeout = float | tuple[float, float]
"""Seconds: one number for a whole call, or (connect, read)."""


@dataclass(frozen=True, kw_only=True)
class KubernetesSettings:
    """The values of the section. A field that is not described here is the option of the same name.

    :ivar retry_arguments: arguments of urllib3's Retry; empty for our defaults.
    :ivar running_pod_log_lines: lines. :ivar fatal_pending_reasons: waiting reasons that fail a pending pod.
    :ivar namespace_list: namespaces of multi-namespace mode; empty for the whole cluster.
    :ivar request_timeout: seconds, or (connect, read) seconds; None for our defaults (5 and 30).
    :ivar request_query: query parameters with the API's names, sent with every call except patches and logs.
    :ivar delete_options: fields of DeleteOptions with the API's names; gracePeriodSeconds only if it is configured.
    :ivar tcp_keep_idle: seconds. :ivar tcp_keep_intvl: seconds. :ivar tcp_keep_cnt: probes.
    :ivar task_publish_max_retries: None for as long as the token is valid; -1 for no limit.
    :ivar pod_launch_failure_retries: -1 for no limit.
    """

    retry_arguments: Mapping[str, Any] = field(default_factory=dict)
    logs_task_metadata: bool = False
    running_pod_log_lines: int = 100
    pod_template_file: str = ""
    worker_container_repository: str = ""
    worker_container_tag: str = ""
    namespace: str = "default"
    delete_worker_pods: bool = True
    delete_worker_pods_on_failure: bool = False
    fatal_pending_reasons: frozenset[str] = _UPSTREAM_FATAL_REASONS | {"ErrImageNeverPull"}
    worker_pods_creation_batch_size: int = 1
    pod_creation_max_concurrency: int = 0
    multi_namespace_mode: bool = False
    namespace_list: tuple[str, ...] = ()
    in_cluster: bool = True
    cluster_context: str = ""
    config_file: str = ""
    client_factory: str = ""
    request_timeout: Timeout | None = None
    request_query: tuple[tuple[str, str], ...] = ()
    delete_options: Mapping[str, Any] = field(default_factory=dict)
    enable_tcp_keepalive: bool = True
    tcp_keep_idle: int = 120
    tcp_keep_intvl: int = 30
    tcp_keep_cnt: int = 6
    verify_ssl: bool = True
    ssl_ca_cert: str = ""
    task_publish_max_retries: int | None = None
    pod_launch_failure_retries: int = 1
    launch_failure_excluded_reasons: frozenset[str] = frozenset({"Error"})

    @property
    def launch_concurrency(self) -> int:
        """How many pods one agent creates at the same time."""
        if self.pod_creation_max_concurrency > 0:
            return self.pod_creation_max_concurrency
        return max(DEFAULT_LAUNCH_CONCURRENCY, self.worker_pods_creation_batch_size)

    @property
    def image(self) -> str:
        """The configured image of the container ``base``; "" for the template's image."""
        if not self.worker_container_repository:
            return ""
        return f"{self.worker_container_repository}:{self.worker_container_tag}"

    @property
    def watched_namespaces(self) -> tuple[str | None, ...]:
        """Namespaces to watch; ``(None,)`` is the whole cluster. It always contains the configured namespace."""
        if not self.multi_namespace_mode:
            return (self.namespace,)
        if not self.namespace_list:
            return (None,)
        return tuple(dict.fromkeys((*self.namespace_list, self.namespace)))

    def may_publish_again(self, failures: int) -> bool:
        """Return whether the limit of retries allows another creation after ``failures`` failed ones."""
        limit = self.task_publish_max_retries
        return limit is None or limit == UNLIMITED or failures <= limit

    def may_launch_again(self, failed_launches: int) -> bool:
        """Return whether an attempt may be launched again after ``failed_launches`` pods died before its task began."""
        limit = self.pod_launch_failure_retries
        return limit == UNLIMITED or failed_launches <= limit


def read_kubernetes_settings(conf: ConfigSource) -> KubernetesSettings:
    """Return the settings in ``conf``.

    :raises ConfigError: a value is wrong; the message names section, option, value and what is allowed.
    """
    values = {option.name: option.read(conf) for option in KUBERNETES_OPTIONS}
    repository, tag = values["worker_container_repository"], values["worker_container_tag"]
    if repository and not tag:
        raise _error(
            "worker_container_tag", tag, f"the tag of the image {repository}, or unset worker_container_repository"
        )
    if tag and not repository:
        raise _error(
            "worker_container_repository", repository, f"the repository of the tag {tag}, or unset worker_container_tag"
        )
    request_arguments = values["kube_client_request_args"]
    delete_options = {camel_case(key): value for key, value in values["delete_option_kwargs"].items()}
    if values["termination_grace_period_seconds"] is not None:
        delete_options.setdefault("gracePeriodSeconds", values["termination_grace_period_seconds"])
    return KubernetesSettings(
        retry_arguments=values["api_client_retry_configuration"],
        logs_task_metadata=values["logs_task_metadata"],
        running_pod_log_lines=values["running_pod_log_lines"],
        pod_template_file=values["pod_template_file"],
        worker_container_repository=repository,
        worker_container_tag=tag,
        namespace=values["namespace"],
        delete_worker_pods=values["delete_worker_pods"],
        delete_worker_pods_on_failure=values["delete_worker_pods_on_failure"],
        fatal_pending_reasons=_fatal_reasons(values["worker_pod_pending_fatal_container_state_reasons"]),
        worker_pods_creation_batch_size=values["worker_pods_creation_batch_size"],
        pod_creation_max_concurrency=values["pod_creation_max_concurrency"],
        multi_namespace_mode=values["multi_namespace_mode"],
        namespace_list=values["multi_namespace_mode_namespace_list"],
        in_cluster=values["in_cluster"],
        cluster_context=values["cluster_context"],
        config_file=values["config_file"],
        client_factory=values["client_factory"],
        request_timeout=_timeout(request_arguments.get("_request_timeout")),
        request_query=_query(request_arguments),
        delete_options=delete_options,
        enable_tcp_keepalive=values["enable_tcp_keepalive"],
        tcp_keep_idle=values["tcp_keep_idle"],
        tcp_keep_intvl=values["tcp_keep_intvl"],
        tcp_keep_cnt=values["tcp_keep_cnt"],
        verify_ssl=values["verify_ssl"],
        ssl_ca_cert=values["ssl_ca_cert"],
        task_publish_max_retries=values["task_publish_max_retries"],
        pod_launch_failure_retries=values["pod_launch_failure_retries"],
        launch_failure_excluded_reasons=frozenset(values["pod_launch_failure_excluded_container_reasons"]),
    )


def camel_case(name: str) -> str:
    """Return the API's name of a Python argument (``grace_period_seconds`` is ``gracePeriodSeconds``)."""
    return re.sub(r"_+([a-zA-Z0-9])", lambda match: match.group(1).upper(), name)


def _fatal_reasons(listed: tuple[str, ...]) -> frozenset[str]:
    """Return the listed reasons; the default of Airflow's Kubernetes provider is replaced by ours."""
    reasons = frozenset(listed)
    return KubernetesSettings.fatal_pending_reasons if reasons == _UPSTREAM_FATAL_REASONS else reasons


def _error(name: str, value: object, expected: str) -> Exception:
    option = next(option for option in KUBERNETES_OPTIONS if option.name == name)
    return option.error(str(value), expected)


def _timeout(value: object) -> Timeout | None:
    """Return ``_request_timeout`` for the HTTP library, which needs a tuple where JSON has a list."""
    if value is None:
        return None
    parts = value if isinstance(value, list) else [value]
    seconds = [float(part) for part in parts if isinstance(part, int | float) and not isinstance(part, bool)]
    if len(seconds) == len(parts) and all(part > 0 for part in seconds):
        if isinstance(value, list) and len(seconds) == 2:
            return (seconds[0], seconds[1])
        if not isinstance(value, list):
            return seconds[0]
    raise _error(
        "kube_client_request_args",
        {"_request_timeout": value},
        '{"_request_timeout": [connect, read]} with two positive numbers of seconds, or one number',
    )


def _query(arguments: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the arguments that the API itself knows. Names that begin with ``_`` are for the Python library only."""
    pairs = []
    for name, value in arguments.items():
        if name.startswith("_") or value is None:
            continue
        if isinstance(value, dict | list):
            raise _error("kube_client_request_args", {name: value}, f"text, a number or true/false for {name!r}")
        pairs.append((camel_case(name), str(value).lower() if isinstance(value, bool) else str(value)))
    return tuple(pairs)
