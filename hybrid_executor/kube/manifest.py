"""The pod that runs one workload: template, profile, our own layer and executor_config, laid over each other.

Pure except for the mutation hook, which is the caller's function. Promises: no override and no hook changes a pod's
name and its ``hybrid-executor/`` labels. With them a pod is created only once and is found again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import TaskRejected
from hybrid_executor.kube.fitting import fit_pod, give_back, lost_fields
from hybrid_executor.kube.merge import merge_pods
from hybrid_executor.kube.models import plain, pod_of
from hybrid_executor.kube.names import annotations_of, labels_of, pod_name
from hybrid_executor.kube.request import PodRequest
from hybrid_executor.kube.template import BUILT_IN_TEMPLATE, TEMPLATE_OPTION, TemplateChoice, read_template

if TYPE_CHECKING:
    from kubernetes.client import V1Pod

__all__ = ["PodRequest", "apply_mutation_hook", "build_pod", "get_base_pod_from_template"]

BASE_CONTAINER = "base"
ENTRY_POINT = ("python", "-m", "airflow.sdk.execution_time.execute_workload", "--json-string")
# The entry point of Airflow's image starts "airflow db check" before each command, which takes seconds. A task needs
# no database. Source: scripts/docker/entrypoint_prod.sh in apache/airflow.
_NO_DATABASE_CHECK = {"name": "CONNECTION_CHECK_MAX_COUNT", "value": "0"}
_OUR_PREFIX = "hybrid-executor/"
# The server writes these. A template made from a live pod has them, and the server refuses a creation with them.
_SERVER_METADATA = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "generateName")


def build_pod(request: PodRequest, settings: KubernetesSettings, template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of the request's pod. It shares parts with ``template``: do not change it in place.

    Order, later wins: ``template``, the profile, our own layer (name, namespace, labels, annotations,
    image, arguments), executor_config. The image is executor_config's, else that of the queue's coordinator, else the
    profile's, else the configured one, else the template's. The workload runs in the container named ``base``, which is
    the first where none has that name, in a template as in a profile or executor_config. Values are of the types that
    the API wants; the kubelet never starts an ended task again. The entry point of Airflow's image does not check the
    database first, unless a layer sets ``CONNECTION_CHECK_MAX_COUNT``.

    :param template: from :meth:`~hybrid_executor.kube.template.TemplateCache.load`.
    :raises TaskRejected: the parts cannot be joined, or no image is known.
    """
    try:
        own = _own_layer(request, settings)
        layers = (template, request.profile_overrides.pod, own, request.overrides.pod)
        pod = fit_pod(reduce(_lay_over, layers))
        _finish(pod, own["metadata"])
    except (AttributeError, TypeError, ValueError) as exc:
        raise TaskRejected(
            f"The pod cannot be put together from template, profile and executor_config: {exc}. Check that lists are "
            "lists and mappings are mappings, as in the Kubernetes API reference."
        ) from exc
    return pod


def apply_mutation_hook(pod: dict[str, Any], hook: Callable[[V1Pod], object]) -> dict[str, Any]:
    """Return the pod as the deployment's ``pod_mutation_hook`` leaves it; its name and our labels stay.

    :raises TaskRejected: the hook raised, or the library refuses the pod.
    """
    try:
        model = pod_of(pod)
        lost = lost_fields(pod, plain(model))
    except Exception as exc:
        raise TaskRejected(
            f"The pod cannot be given to pod_mutation_hook: the installed kubernetes library refuses it: {exc}"
        ) from exc
    try:
        hook(model)
    except Exception as exc:  # the deployment's own code may raise anything, and only this task fails
        raise TaskRejected(f"pod_mutation_hook raised {type(exc).__name__}: {exc}") from exc
    # Without this, fields that the installed library does not know would be lost only because there is a hook.
    mutated: dict[str, Any] = give_back(lost, plain(model), pod)
    if mutated.get("spec"):
        mutated["spec"] = {**mutated["spec"], "restartPolicy": _restart_policy(mutated["spec"])}
    metadata = dict(mutated.get("metadata") or {})
    before = pod["metadata"]
    metadata["name"] = before["name"]
    for part in ("labels", "annotations"):
        ours = {key: value for key, value in (before.get(part) or {}).items() if key.startswith(_OUR_PREFIX)}
        metadata[part] = {**(metadata.get(part) or {}), **ours}
    return {**mutated, "metadata": metadata}


def get_base_pod_from_template(pod_template_file: str | None, kube_client: object = None) -> V1Pod:
    """Return the pod of a template file as a model; of the built-in template where no file is named.

    :param kube_client: not used; callers of the documented function pass one.
    :raises TaskRejected: the file cannot be read or is no pod.
    """
    if not pod_template_file:
        return pod_of(BUILT_IN_TEMPLATE)
    return pod_of(read_template(TemplateChoice(pod_template_file, TEMPLATE_OPTION)))


def _own_layer(request: PodRequest, settings: KubernetesSettings) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": BASE_CONTAINER,
        "args": [*ENTRY_POINT, request.payload],
        "env": [{"name": "AIRFLOW_IS_K8S_EXECUTOR_POD", "value": "True"}],
    }
    image = request.coordinator_image or ("" if _profile_image(request.profile_overrides.pod) else settings.image)
    if image:
        container["image"] = image
    subject = request.dag_id or request.kind
    profile_namespace = (request.profile_overrides.pod.get("metadata") or {}).get("namespace")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(subject, request.task_id, request.attempt_id, request.launch),
            "namespace": request.namespace or profile_namespace or settings.namespace,
            "labels": labels_of(request),
            "annotations": annotations_of(request),
        },
        "spec": {"containers": [container]},
    }


def _profile_image(profile_pod: Mapping[str, Any]) -> str:
    for container in (profile_pod.get("spec") or {}).get("containers") or ():
        if container.get("name", BASE_CONTAINER) == BASE_CONTAINER:
            return str(container.get("image") or "")
    return ""


def _with_base_container(pod: dict[str, Any]) -> dict[str, Any]:
    """Return the pod with a container ``base`` for the workload: if none has that name, the first gets it."""
    spec = pod.get("spec") or {}
    containers = spec.get("containers") or []
    if not containers or any(container.get("name") == BASE_CONTAINER for container in containers):
        return pod
    renamed = [{**containers[0], "name": BASE_CONTAINER}, *containers[1:]]
    return {**pod, "spec": {**spec, "containers": renamed}}


def _lay_over(pod: Mapping[str, Any], layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the pod with a layer laid over it; if the layer has no ``base``, its first container is ``base``.

    As in upstream, which pairs containers by position, a ``pod_override`` with one container of any name describes the
    task's. A container with the name of one of the pod's containers is paired with that one.
    """
    if not layer:
        return pod
    pod = _with_base_container(dict(pod))
    names = {container.get("name") for container in (pod.get("spec") or {}).get("containers") or ()}
    spec = layer.get("spec") or {}
    containers = spec.get("containers") or []
    if containers and containers[0].get("name") not in names:
        layer = _with_base_container(dict(layer))
    return merge_pods(pod, layer)


def _restart_policy(spec: Mapping[str, Any]) -> str:
    """Return the pod's policy, ``Never`` instead of ``Always``, which would start an ended task again."""
    policy = spec.get("restartPolicy")
    return "Never" if policy in (None, "", "Always") else str(policy)


def _finish(pod: dict[str, Any], identity: Mapping[str, Any]) -> None:
    """Set, in the merged pod's own new dicts, what no layer may change."""
    pod.pop("status", None)
    metadata, spec = pod["metadata"], pod["spec"]
    for name in _SERVER_METADATA:
        metadata.pop(name, None)
    metadata["name"] = identity["name"]
    for part in ("labels", "annotations"):
        metadata[part] = {**metadata[part], **identity[part]}
    spec["restartPolicy"] = _restart_policy(spec)
    base = next((item for item in spec["containers"] if item.get("name") == BASE_CONTAINER), None)
    if base is None or not base.get("image"):
        raise TaskRejected(
            "The pod's base container has no image. Set it in the pod template (" + TEMPLATE_OPTION + "), or set "
            "[kubernetes_executor] worker_container_repository and worker_container_tag, or give the queue's profile "
            "or the task's executor_config an image."
        )
    environment = base.get("env") or []
    if not any(variable["name"] == _NO_DATABASE_CHECK["name"] for variable in environment):
        base["env"] = [*environment, dict(_NO_DATABASE_CHECK)]
