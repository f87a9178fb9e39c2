"""Plain pods to the official library's models and back, for the two places where users meet models: hook and override.

The library is imported only when one of these functions is called. Works with its old and its new (typed) models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hybrid_executor.kube.fitting import fit_pod

if TYPE_CHECKING:
    from kubernetes.client import V1Pod


def is_model(value: object) -> bool:
    """Return whether ``value`` is a model of a Kubernetes library, without importing any."""
    return hasattr(type(value), "openapi_types") and hasattr(type(value), "attribute_map")


def pod_of(pod: Mapping[str, Any]) -> V1Pod:
    """Return the model of a pod in the API's spelling.

    :raises Exception: the library's own error where the pod does not fit its model (the kind depends on its version).
    """
    from kubernetes.client import V1Pod

    wanted = fit_pod(pod)
    if hasattr(V1Pod, "from_dict"):
        return V1Pod.from_dict(wanted)  # type: ignore[return-value]
    client = _api_client()
    return client.deserialize(SimpleNamespace(data=json.dumps(wanted)), "V1Pod")  # type: ignore[no-any-return]


def plain(model: object) -> Any:
    """Return a model (or a list or dict of models) in the API's spelling; fields that are None are unset."""
    return _api_client().sanitize_for_serialization(model)


@lru_cache(maxsize=1)
def _api_client() -> Any:
    from kubernetes.client import ApiClient

    return ApiClient()
