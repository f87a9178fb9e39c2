"""The API's validation of pods and other objects, with the errors of a real server. Pure.

It covers the likely errors of a task's pod, and not all of Kubernetes' validation: probes, affinities, security
contexts and the contents of volumes are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from hybrid_executor.kube.quantities import quantity
from hybrid_executor.sandbox.names import (
    invalid_values,
    label_name,
    label_value,
    metadata_errors,
    qualified_name,
    subdomain,
)
from hybrid_executor.sandbox.objects import NAMESPACES, PODS, Object, Resource
from hybrid_executor.sandbox.status import FieldError, StatusError, bad_request, invalid

POLICIES = {
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
}

IMMUTABLE = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
    "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
MUTABLE_FIELDS = ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations")


def check_namespace_of(body: Object, namespace: str) -> None:
    """Refuse an object that names another namespace than its path.

    :raises StatusError: 400.
    """
    given = (body.get("metadata") or {}).get("namespace") or namespace
    if given != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def check_object(stored: Object, resource: Resource) -> None:
    """Refuse an object of any resource but pods for its metadata.

    :raises StatusError: 422.
    """
    rule = label_name if resource is NAMESPACES else subdomain
    _raise(resource, stored, list(metadata_errors(stored["metadata"], name_rule=rule)))


def check_pod(stored: Object) -> None:
    """Refuse a pod to be created, after defaults were filled in.

    :raises StatusError: 422, with everything that is wrong.
    """
    _raise(PODS, stored, [*metadata_errors(stored["metadata"]), *_spec_errors(stored["spec"])])


def check_pod_update(before: Object, after: Object) -> None:
    """Refuse a change of what cannot change once a pod exists.

    :raises StatusError: 422.
    """
    errors = list(metadata_errors(after["metadata"]))
    for field in ("name", "namespace", "uid", "creationTimestamp"):
        if before["metadata"].get(field) != after["metadata"].get(field):
            message = f'Invalid value: "{after["metadata"].get(field, "")}": field is immutable'
            errors.append(FieldError(f"metadata.{field}", message))
    tolerations = after["spec"].get("tolerations") or []
    lost = any(old not in tolerations for old in before["spec"].get("tolerations") or [])
    if lost or _fixed_part(before["spec"]) != _fixed_part(after["spec"]):
        errors.append(FieldError("spec", IMMUTABLE))
    _raise(PODS, after, errors)


def _raise(resource: Resource, stored: Object, errors: list[FieldError]) -> None:
    if errors:
        raise invalid(resource, stored["metadata"].get("name", ""), errors)


def _fixed_part(spec: Object) -> Object:
    fixed = {key: value for key, value in spec.items() if key not in MUTABLE_FIELDS}
    for group in ("containers", "initContainers"):
        if group in fixed:
            fixed[group] = [{**container, "image": ""} for container in fixed[group]]
    return fixed


def _spec_errors(spec: Object) -> Iterator[FieldError]:
    volumes = {volume.get("name") for volume in spec.get("volumes") or []}
    seen: set[str] = set()
    if not spec.get("containers"):
        yield FieldError("spec.containers", "Required value")
    for group in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(group) or []):
            yield from _container_errors(container, f"spec.{group}[{at}]", volumes=volumes, seen=seen)
    yield from _policy_errors(spec, "spec", ("restartPolicy", "dnsPolicy"))
    for key, value in (spec.get("nodeSelector") or {}).items():
        yield from invalid_values("spec.nodeSelector", key, qualified_name)
        yield from invalid_values("spec.nodeSelector", value, label_value)
    for field in ("terminationGracePeriodSeconds", "activeDeadlineSeconds"):
        if spec.get(field) is not None and spec[field] < 0:
            message = f"Invalid value: {spec[field]}: must be greater than or equal to 0"
            yield FieldError(f"spec.{field}", message)


def _container_errors(container: Object, where: str, *, volumes: set[Any], seen: set[str]) -> Iterator[FieldError]:
    name = container.get("name", "")
    if not name:
        yield FieldError(f"{where}.name", "Required value")
    else:
        yield from invalid_values(f"{where}.name", name, label_name)
        if name in seen:
            yield FieldError(f"{where}.name", f'Duplicate value: "{name}"')
        seen.add(name)
    image = container.get("image", "")
    if not image:
        yield FieldError(f"{where}.image", "Required value")
    elif image != image.strip():
        message = f'Invalid value: "{image}": must not have leading or trailing whitespace'
        yield FieldError(f"{where}.image", message)
    yield from _policy_errors(container, where, ("imagePullPolicy",))
    for at, variable in enumerate(container.get("env") or []):
        if not variable.get("name"):
            yield FieldError(f"{where}.env[{at}].name", "Required value")
        elif "=" in variable["name"]:
            message = (
                f'Invalid value: "{variable["name"]}": environment variable name must consist only of printable '
                "ASCII characters other than '='"
            )
            yield FieldError(f"{where}.env[{at}].name", message)
    for at, mount in enumerate(container.get("volumeMounts") or []):
        if mount.get("name") not in volumes:
            yield FieldError(f"{where}.volumeMounts[{at}].name", f'Not found: "{mount.get("name", "")}"')
    yield from _resource_errors(container.get("resources") or {}, f"{where}.resources")


def _policy_errors(holder: Object, where: str, fields: tuple[str, ...]) -> Iterator[FieldError]:
    for field in fields:
        if holder.get(field) not in (None, *POLICIES[field]):
            supported = ", ".join(f'"{value}"' for value in sorted(POLICIES[field]))
            message = f'Unsupported value: "{holder[field]}": supported values: {supported}'
            yield FieldError(f"{where}.{field}", message)


def _resource_errors(resources: Object, where: str) -> Iterator[FieldError]:
    limits = resources.get("limits") or {}
    for name, asked in (resources.get("requests") or {}).items():
        if name in limits and _amount(asked) > _amount(limits[name]):
            message = f'Invalid value: "{asked}": must be less than or equal to {name} limit of {limits[name]}'
            yield FieldError(f"{where}.requests", message)


def _amount(text: Any) -> Decimal:
    try:
        return quantity(text)
    except ValueError as error:
        raise _not_a_quantity(error) from error


def _not_a_quantity(error: ValueError) -> StatusError:
    return bad_request(f'Pod in version "v1" cannot be handled as a Pod: {error}')
