"""The options of ``[kubernetes_executor]``, one row each: names and defaults that deployments already use.

Only the rows are here. :mod:`hybrid_executor.config.kubernetes` decides what their values mean together.
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
        "JSON object with arguments of urllib3's Retry for calls to the API server. Unset: one more "
        "attempt to connect.",
    ),
    _option(
        "logs_task_metadata", "bool", "False", "Show pod annotations (the exact dag, task and run ids) in our logs."
    ),
    _option(
        "running_pod_log_lines",
        "int",
        "100",
        "How many of a running pod's last log lines the task's log page shows.",
        unit="lines",
        minimum=1,
    ),
    _option("pod_template_file", "str", "", "YAML file with the pod that all task pods start from."),
    _option(
        "worker_container_repository",
        "str",
        "",
        "Image of the container 'base', without the tag. Set worker_container_tag too.",
    ),
    _option(
        "worker_container_tag",
        "str",
        "",
        "Tag of the image of the container 'base'. Set worker_container_repository too.",
    ),
    _option(
        "namespace", "str", "default", "Namespace of task pods, unless a profile or executor_config sets another one."
    ),
    _option("delete_worker_pods", "bool", "True", "Delete a pod after its task has ended."),
    _option("delete_worker_pods_on_failure", "bool", "False", "Delete the pods of failed tasks too."),
    _option(
        "worker_pod_pending_fatal_container_state_reasons",
        "list",
        "CreateContainerConfigError,ErrImagePull,CreateContainerError,ImageInspectError,InvalidImageName,"
        "ErrImageNeverPull",
        "A pending pod fails if one of its containers waits for one of these reasons. If the value is the "
        "default of Airflow's Kubernetes provider, which lacks ErrImageNeverPull, this default is used.",
    ),
    _option(
        "worker_pods_creation_batch_size",
        "int",
        "1",
        "Accepted for existing configurations. A value above 16 sets how many pods are created at the "
        "same time. Smaller values have no effect.",
        unit="pods",
        minimum=1,
    ),
    _option(
        "async_pod_creation",
        "bool",
        "False",
        "Accepted for existing configurations, but has no effect: the agent always creates pods in parallel.",
    ),
    _option(
        "pod_creation_max_concurrency",
        "int",
        "0",
        "How many pods one agent creates at the same time. 0: 16, or worker_pods_creation_batch_size if "
        "that is higher.",
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
    _option("in_cluster", "bool", "True", "Use the service account of the pod that this process runs in."),
    _option("cluster_context", "str", "", "Context of the kubeconfig file. Empty: its current context."),
    _option(
        "config_file",
        "str",
        "",
        "Kubeconfig file, used if in_cluster is False. Empty: KUBECONFIG, then ~/.kube/config.",
    ),
    _option(
        "client_factory",
        "str",
        "",
        "Import path of a function without arguments that returns a CoreV1Api. Replaces all other connection options.",
    ),
    _option(
        "async_client_factory",
        "str",
        "",
        "Accepted for existing configurations, but has no effect: no asynchronous client is used.",
    ),
    _option(
        "kube_client_request_args",
        "json",
        "",
        "JSON object with arguments for calls to the API server. _request_timeout is in seconds: one "
        "number, or [connect, read]. It does not shorten watches.",
    ),
    _option(
        "delete_option_kwargs",
        "json",
        "",
        "JSON object with V1DeleteOptions arguments for deleting pods, such as grace_period_seconds.",
    ),
    _option(
        "termination_grace_period_seconds",
        "int",
        "",
        "How long a deleted pod may take to end. Empty: the value in the pod's spec. delete_option_kwargs wins.",
        unit="seconds",
        minimum=0,
    ),
    _option(
        "enable_tcp_keepalive",
        "bool",
        "True",
        "Let the operating system test idle connections to the API server (TCP keepalive).",
    ),
    _option("tcp_keep_idle", "int", "120", "Idle time before the first keepalive probe.", unit="seconds", minimum=1),
    _option("tcp_keep_intvl", "int", "30", "Time between two keepalive probes.", unit="seconds", minimum=1),
    _option("tcp_keep_cnt", "int", "6", "Number of unanswered probes after which the connection is closed.", minimum=1),
    _option("verify_ssl", "bool", "True", "Check the API server's certificate."),
    _option("ssl_ca_cert", "str", "", "CA file for the check of the API server's certificate."),
    _option(
        "task_publish_max_retries",
        "int",
        "",
        "How often the creation of a pod is retried after a quota refusal, a conflict, throttling or a "
        "server error. Empty: as long as the workload's token is valid. 0: never. -1: no limit.",
        minimum=-1,
    ),
    _option(
        "pod_launch_failure_retries",
        "int",
        "1",
        "How often a new pod is created for a pod that failed before its task started. This does not use "
        "a retry of the task. 0: never. -1: no limit.",
        minimum=-1,
    ),
    _option(
        "pod_launch_failure_excluded_container_reasons",
        "list",
        "Error",
        "A pod that failed with one of these container reasons is not created again: it counts as a "
        "failure of the task itself.",
    ),
)
