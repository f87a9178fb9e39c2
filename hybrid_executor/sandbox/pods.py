"""The API's operations on pods: create, change, delete in steps, evict. Every write to a pod goes through this module.

A deletion has two steps, as in the real API. First ``deletionTimestamp`` is set. The pod is removed when the grace
period is over, or when the kubelet says so. A pod without a node, or one that has ended, has no grace period.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.defaulting import default_pod_spec, default_pod_status, qos_class
from hybrid_executor.sandbox.objects import (
    NAMESPACES,
    PODS,
    Object,
    Resource,
    is_being_deleted,
    name_of,
    namespace_of,
    timestamp,
    with_metadata,
)
from hybrid_executor.sandbox.quotas import check_quotas
from hybrid_executor.sandbox.schema import decode_pod
from hybrid_executor.sandbox.status import (
    StatusError,
    bad_request,
    modified_meanwhile,
    namespace_is_ending,
    not_found,
    precondition_failed,
)
from hybrid_executor.sandbox.validation import check_namespace_of, check_pod, check_pod_update

NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
GENERATED_NAME_PREFIX = 58
"""generateName is cut to this length, so that five random characters still make a label."""

SERVER_FIELDS = ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "selfLink", "managedFields")
"""Metadata that a creator may send and the server ignores."""

KEPT_FIELDS = (
    "uid",
    "creationTimestamp",
    "generateName",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
"""Metadata that stays as it is where an update does not name it."""

ENDED_PHASES = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True)
class Deletion:
    """How to delete.

    :ivar grace_seconds: None for the pod's own ``terminationGracePeriodSeconds``.
    :ivar uid: refuse if the pod has another uid; "" for any.
    :ivar version: refuse if the pod has another resourceVersion; "" for any.
    """

    grace_seconds: int | None = None
    uid: str = ""
    version: str = ""


def has_ended(pod: Object) -> bool:
    """Whether the pod's phase is final."""
    return pod["status"].get("phase") in ENDED_PHASES


def new_metadata(metadata: Object, namespace: str) -> Object:
    """Return the metadata of an object to be created: what the author may set, and a generated name if asked for."""
    kept = {key: value for key, value in metadata.items() if key not in SERVER_FIELDS}
    if namespace:
        kept["namespace"] = namespace
    if not kept.get("name") and kept.get("generateName"):
        suffix = "".join(secrets.choice(NAME_ALPHABET) for _ in range(5))
        kept["name"] = kept["generateName"][:GENERATED_NAME_PREFIX] + suffix
    return kept


def check_namespace_is_open(cluster: Cluster, namespace: str, resource: Resource, name: str) -> None:
    """Refuse a create in a namespace that does not exist or is being deleted.

    :raises StatusError: 404 or 403.
    """
    found = cluster.find(NAMESPACES, "", namespace)
    if found is None:
        raise not_found(NAMESPACES, namespace)
    if is_being_deleted(found):
        raise namespace_is_ending(resource, name, namespace)


class Pods:
    """The pods of a cluster, under the API's rules."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def create(
        self, namespace: str, body: Object, *, is_strict: bool = False, is_dry_run: bool = False
    ) -> tuple[Object, list[str]]:
        """Create a pod and return it with the unknown fields that were dropped.

        :param is_strict: unknown fields are refused.
        :param is_dry_run: check everything, store nothing.
        :raises StatusError: 400, 403, 404, 409 or 422.
        """
        manifest, unknown = decode_pod(body)
        if unknown and is_strict:
            fields = ", ".join(f'unknown field "{path}"' for path in unknown)
            raise bad_request(f'Pod in version "v1" cannot be handled as a Pod: strict decoding error: {fields}')
        check_namespace_of(manifest, namespace)
        spec = default_pod_spec(manifest.get("spec") or {})
        metadata = {**new_metadata(manifest.get("metadata") or {}, namespace), "generation": 1}
        pod: Object = {
            "metadata": metadata,
            "spec": spec,
            "status": {"phase": "Pending", "qosClass": qos_class(spec)},
        }
        check_namespace_is_open(self._cluster, namespace, PODS, metadata.get("name", ""))
        check_pod(pod)
        if self._cluster.find(PODS, namespace, metadata["name"]) is None:
            check_quotas(self._cluster, pod)
        if is_dry_run:
            return with_metadata(pod, {"uid": "", "creationTimestamp": timestamp()}), unknown
        return self._cluster.create(PODS, pod), unknown

    def update(self, before: Object, after: Object) -> Object:
        """Change everything but the status; return the new pod.

        ``after`` is ``before`` with a patch applied, or a whole new manifest.

        :raises StatusError: 404, 409 or 422.
        """
        manifest, _ = decode_pod(after)
        manifest = self._based_on(before, manifest)
        kept = {key: before["metadata"][key] for key in KEPT_FIELDS if key in before["metadata"]}
        changed: Object = {
            **before,
            "metadata": {**kept, **manifest["metadata"]},
            "spec": default_pod_spec(manifest.get("spec") or {}),
        }
        check_pod_update(before, changed)
        if changed["spec"] != before["spec"]:
            changed = with_metadata(changed, {"generation": before["metadata"].get("generation", 1) + 1})
        written = self._cluster.replace(PODS, changed)
        return self._removed_if_unheld(written)

    def update_status(self, before: Object, after: Object) -> Object:
        """Change the status only; return the new pod.

        :raises StatusError: 404 or 409.
        """
        after = self._based_on(before, after)
        status = default_pod_status(after.get("status") or {})
        status.setdefault("qosClass", before["status"]["qosClass"])
        return self._cluster.replace(PODS, {**before, "status": status})

    def set_status(self, namespace: str, name: str, status: Object) -> Object:
        """Replace the status, whatever the version.

        :raises StatusError: 404.
        """
        pod = self._cluster.get(PODS, namespace, name)
        return self._cluster.replace(PODS, {**pod, "status": status})

    def bind(self, pod: Object, *, node: str, status: Object) -> Object:
        """Give the pod to a node, as the scheduler's binding does; return the new pod."""
        spec = {**pod["spec"], "nodeName": node}
        return self._cluster.replace(PODS, {**pod, "spec": spec, "status": status})

    def delete(self, namespace: str, name: str, deletion: Deletion, *, is_dry_run: bool = False) -> Object:
        """Ask for a pod's deletion; return it as it is now, or as it was last.

        Asking again may only shorten the grace.

        :raises StatusError: 404 or 409.
        """
        pod = self._cluster.get(PODS, namespace, name)
        _check_preconditions(pod, deletion)
        if is_dry_run:
            return pod
        grace = _grace_of(pod, deletion)
        if is_being_deleted(pod):
            remaining: int = pod["metadata"]["deletionGracePeriodSeconds"]
            if deletion.grace_seconds is None or grace >= remaining:
                return pod
            changes = {"deletionGracePeriodSeconds": grace, "deletionTimestamp": timestamp(time.time() + grace)}
        else:
            changes = {
                "generation": pod["metadata"].get("generation", 1) + 1,
                "deletionGracePeriodSeconds": grace,
                "deletionTimestamp": timestamp(time.time() + grace),
            }
        return self._removed_if_unheld(self._cluster.replace(PODS, with_metadata(pod, changes)))

    def _removed_if_unheld(self, pod: Object) -> Object:
        """Remove a pod with no grace and no finalizer left."""
        metadata = pod["metadata"]
        if metadata.get("deletionGracePeriodSeconds") != 0 or metadata.get("finalizers"):
            return pod
        return self._cluster.remove(PODS, namespace_of(pod), name_of(pod))

    def _based_on(self, before: Object, after: Object) -> Object:
        """Check the version that a change is based on; a change that names none is based on the latest."""
        current = before["metadata"]["resourceVersion"]
        given = after["metadata"].get("resourceVersion") or current
        if given != current:
            raise modified_meanwhile(PODS, name_of(before))
        return with_metadata(after, {"resourceVersion": current})


def _check_preconditions(pod: Object, deletion: Deletion) -> None:
    metadata = pod["metadata"]
    if deletion.uid and deletion.uid != metadata["uid"]:
        raise _mismatch(pod, "UID", deletion.uid, metadata["uid"])
    if deletion.version and deletion.version != metadata["resourceVersion"]:
        raise _mismatch(pod, "ResourceVersion", deletion.version, metadata["resourceVersion"])


def _mismatch(pod: Object, what: str, asked: str, found: str) -> StatusError:
    return precondition_failed(PODS, name_of(pod), what=what, asked=asked, found=found)


def _grace_of(pod: Object, deletion: Deletion) -> int:
    if not pod["spec"].get("nodeName") or has_ended(pod):
        return 0
    if deletion.grace_seconds is not None:
        return max(deletion.grace_seconds, 0)
    grace: int = pod["spec"]["terminationGracePeriodSeconds"]
    return grace
