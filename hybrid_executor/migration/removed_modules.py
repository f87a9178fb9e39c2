"""Modules about executors and pods that Airflow 3 does not have, and what to import instead. Pure."""

from __future__ import annotations

_PROVIDER = "airflow.providers.cncf.kubernetes"
_MODELS = "kubernetes.client.models"
_NO_USE = "remove the import: the queue of a task decides where it runs"

_MODULES = {
    "airflow.kubernetes.pod_generator": f"{_PROVIDER}.pod_generator",
    "airflow.kubernetes.pod_generator_deprecated": f"{_PROVIDER}.pod_generator",
    "airflow.kubernetes.secret": f"{_PROVIDER}.secret",
    "airflow.kubernetes.k8s_model": f"{_PROVIDER}.k8s_model",
    "airflow.kubernetes.kube_client": f"{_PROVIDER}.kube_client",
    "airflow.kubernetes.kube_config": f"{_PROVIDER}.kube_config",
    "airflow.kubernetes.kubernetes_helper_functions": f"{_PROVIDER}.kubernetes_helper_functions",
    "airflow.kubernetes.pod_launcher": f"{_PROVIDER}.utils.pod_manager",
    "airflow.kubernetes.pod": f"{_MODELS} (V1ResourceRequirements, V1ContainerPort)",
    "airflow.kubernetes.pod_runtime_info_env": f"{_MODELS} (V1EnvVar with V1EnvVarSource)",
    "airflow.kubernetes.volume": f"{_MODELS} (V1Volume)",
    "airflow.kubernetes.volume_mount": f"{_MODELS} (V1VolumeMount)",
    "airflow.kubernetes": _PROVIDER,
    "airflow.contrib.kubernetes": _PROVIDER,
    "airflow.executors.kubernetes_executor": _NO_USE,
    "airflow.executors.kubernetes_executor_types": _NO_USE,
    "airflow.executors.kubernetes_executor_utils": _NO_USE,
    "airflow.executors.local_kubernetes_executor": _NO_USE,
    "airflow.executors.celery_executor": _NO_USE,
    "airflow.executors.celery_kubernetes_executor": _NO_USE,
    "airflow.executors.sequential_executor": _NO_USE,
    "airflow.executors.debug_executor": "remove the import; dag.test() runs a Dag in one process",
    "airflow.executors.dask_executor": _NO_USE,
    "airflow.contrib.executors": _NO_USE,
    "airflow.providers.celery.executors.celery_kubernetes_executor": _NO_USE,
    "airflow.providers.cncf.kubernetes.executors.local_kubernetes_executor": _NO_USE,
}
_CLASSES = ("CeleryKubernetesExecutor", "LocalKubernetesExecutor")


def replacement_of(module: str, name: str = "") -> str | None:
    """Return what to write instead of an import; ``None`` if it still works.

    :param name: what is imported from the module; "" for the module itself.
    """
    if name in _CLASSES and module.startswith("airflow."):
        return _NO_USE
    for candidate in (f"{module}.{name}" if name else module, module):
        parts = candidate.split(".")
        for length in range(len(parts), 1, -1):
            instead = _MODULES.get(".".join(parts[:length]))
            if instead is not None:
                return instead if instead.startswith("remove") else f"import from {instead}"
    return None
