"""The options of ``[kubernetes_executor]``, one row each: names and defaults that deployments already use.

The rows are all; what their values mean together is decided in :mod:`hybrid_executor.config.kubernetes`.
"""

from __future__ import annotations

from typing import Any

from hybrid_executor.config.options import Option

SECTION = "kubernetes_executor"


def _option(name: str, type_: Any, default: str, description: str, **rest: Any) -> Option:
    return Option(section=SECTION, name=name, type=type_, default=default, description=description, **rest)


KUBERNETES_OPTIONS: tuple[Option, ...] = (
    _option(
        "api_client_retry_configuration",
        "json",
        "",
        "JSON object of urllib3 Retry arguments for calls to the API server. Unset: one new attempt to connect.",
    ),
    _option("logs_task_metadata", "bool", "False", "Show pod annotations (exact dag, task and run ids) in our logs."),
    _option(
        "running_pod_log_lines",
        "int",
        "100",
        "How many of the last lines the task log view reads from a running pod.",
        unit="lines",
        minimum=1,
    ),
    _option("pod_template_file", "str", "", "YAML file of the pod that all task pods start from."),
    _option("worker_container_repository", "str", "", "Image of the base container, without tag. Needs the tag too."),
    _option("worker_container_tag", "str", "", "Tag of the base container's image. Needs the repository too."),
    _option("namespace", "str", "default", "Namespace of task pods that are not sent elsewhere."),
    _option("delete_worker_pods", "bool", "True", "Delete a pod once its task has ended."),
    _option("delete_worker_pods_on_failure", "bool", "False", "Delete the pods of failed tasks too."),
    _option(
        "worker_pod_pending_fatal_container_state_reasons",
        "list",
        "CreateContainerConfigError,ErrImagePull,CreateContainerError,ImageInspectError,InvalidImageName,"
        "ErrImageNeverPull",
        "A pending pod with a container waiting for one of these reasons has failed. The default of Airflow's "
        "Kubernetes provider, which lacks ErrImageNeverPull, counts as this one.",
    ),
    _option(
        "worker_pods_creation_batch_size",
        "int",
        "1",
        "Kept for existing configurations. Only values over 16 matter: so many pods are created at the same time.",
        unit="pods",
        minimum=1,
    ),
    _option(
        "async_pod_creation",
        "bool",
        "False",
        "Kept for existing configurations, without effect: pods are always created side by side by the agent.",
    ),
    _option(
        "pod_creation_max_concurrency",
        "int",
        "0",
        "How many pods one agent creates at the same time. 0: 16, or the batch size where that is higher.",
        unit="pods",
        minimum=0,
    ),
    _option("multi_namespace_mode", "bool", "False", "Watch task pods in more namespaces than the configured one."),
    _option(
        "multi_namespace_mode_namespace_list",
        "list",
        "",
        "Namespaces to watch in multi-namespace mode. Empty: the whole cluster, which needs a ClusterRole.",
    ),
    _option("in_cluster", "bool", "True", "Connect with the service account of the pod that we run in."),
    _option("cluster_context", "str", "", "Context of the kubeconfig file. Empty: its current context."),
    _option(
        "config_file", "str", "", "Kubeconfig file, used when in_cluster is False. Empty: KUBECONFIG, ~/.kube/config."
    ),
    _option(
        "client_factory",
        "str",
        "",
        "Import path of a function without arguments that returns a CoreV1Api; replaces all other connection options.",
    ),
    _option(
        "async_client_factory",
        "str",
        "",
        "Kept for existing configurations, without effect: no asynchronous client is used.",
    ),
    _option(
        "kube_client_request_args",
        "json",
        "",
        "JSON object of arguments for calls to the API server. _request_timeout is in seconds: one number, or "
        "[connect, read]. Does not shorten watches.",
    ),
    _option(
        "delete_option_kwargs",
        "json",
        "",
        "JSON object of V1DeleteOptions arguments for deleting pods, such as grace_period_seconds.",
    ),
    _option(
        "termination_grace_period_seconds",
        "int",
        "",
        "How long a deleted pod may take to end. Empty: what the pod's own spec says. delete_option_kwargs wins.",
        unit="seconds",
        minimum=0,
    ),
    _option("enable_tcp_keepalive", "bool", "True", "Let the kernel probe idle connections to the API server."),
    _option("tcp_keep_idle", "int", "120", "Idle time before the first probe.", unit="seconds", minimum=1),
    _option("tcp_keep_intvl", "int", "30", "Time between two probes.", unit="seconds", minimum=1),
    _option("tcp_keep_cnt", "int", "6", "Probes without answer until the connection is dropped.", minimum=1),
    _option("verify_ssl", "bool", "True", "Check the API server's certificate."),
    _option("ssl_ca_cert", "str", "", "CA file that the API server's certificate is checked against."),
    _option(
        "task_publish_max_retries",
        "int",
        "",
        "How often the creation of a pod is tried again after a quota, conflict, throttling or server error. Empty: as "
        "long as the workload's token lives. 0: never. -1: without limit. Beware: where the Kubernetes provider of "
        "Airflow is installed, its own default of 0 is what an unset option reads as.",
        minimum=-1,
    ),
    _option(
        "pod_launch_failure_retries",
        "int",
        "1",
        "How often a pod that died before its task started is launched again, without costing a task retry. 0: never. "
        "-1: without limit.",
        minimum=-1,
    ),
    _option(
        "pod_launch_failure_excluded_container_reasons",
        "list",
        "Error",
        "Container reasons that are never launched again: they count as the task's own failure.",
    ),
)
