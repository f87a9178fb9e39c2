"""Kubernetes secrets as the legacy ``executor_config`` names them: in the environment, or as files.

Pure. A secret is a dict with the keys below, or any object with them as attributes (Airflow's own ``Secret`` is one).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from hybrid_executor.errors import TaskRejected
from hybrid_executor.kube.plain import json_like

_KEYS = ("deploy_type", "deploy_target", "secret", "key", "items")
_SHAPE = (
    "write a dict with deploy_type ('env' or 'volume'), deploy_target (variable or mount path), secret (its name) "
    "and key"
)


def is_env_secret(secret: object, *, where: str) -> bool:
    """Return whether the secret goes into the environment; otherwise it becomes files.

    :raises TaskRejected: it is no secret, or its deploy_type is neither of the two.
    """
    kind = _read(secret, where)["deploy_type"]
    if kind not in ("env", "volume"):
        raise TaskRejected(f"{where}: deploy_type is {kind!r}: {_SHAPE}.")
    return bool(kind == "env")


def env_of_secret(secret: object, *, where: str) -> dict[str, Any]:
    """Return container fields: one variable for one key of the secret, or all of its keys if no target is given."""
    fields = _read(secret, where)
    if not fields["deploy_target"]:
        return {"envFrom": [{"secretRef": {"name": fields["secret"]}}]}
    if not fields["key"]:
        raise TaskRejected(f"{where}: a variable needs the secret's key: {_SHAPE}.")
    reference = {"secretKeyRef": {"name": fields["secret"], "key": fields["key"]}}
    return {"env": [{"name": str(fields["deploy_target"]).upper(), "valueFrom": reference}]}


def volume_of_secret(secret: object, *, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return volume and read-only mount, of all keys or of ``items``; the volume's name is the same each time."""
    fields = _read(secret, where)
    if not fields["deploy_target"]:
        raise TaskRejected(f"{where}: a volume needs deploy_target, its mount path: {_SHAPE}.")
    digest = hashlib.sha256(f"{fields['secret']}:{fields['deploy_target']}".encode()).hexdigest()[:12]
    name = f"secretvol-{digest}"
    source: dict[str, Any] = {"secretName": fields["secret"]}
    if fields["items"]:
        source["items"] = json_like(fields["items"], where=where)
    mount = {"name": name, "mountPath": str(fields["deploy_target"]), "readOnly": True}
    return {"name": name, "secret": source}, mount


def _read(secret: object, where: str) -> dict[str, Any]:
    if isinstance(secret, Mapping):
        unknown = sorted(set(secret) - set(_KEYS))
        if unknown:
            raise TaskRejected(f"{where} has no key {unknown[0]!r}: {_SHAPE}.")
        fields = {key: secret.get(key) for key in _KEYS}
    else:
        fields = {key: getattr(secret, key, None) for key in _KEYS}
    if not isinstance(fields["secret"], str) or not fields["secret"]:
        raise TaskRejected(f"{where} is {type(secret).__name__} without the name of a secret: {_SHAPE}.")
    return fields
