"""What a request is about, read from its method and path: in the terms of Kubernetes' authorization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hybrid_executor.sandbox.queries import is_true
from hybrid_executor.sandbox.status import StatusError

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}

PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})
"""Answered without a token, as a real server does."""


@dataclass(frozen=True)
class RequestInfo:
    """One request in the API's words.

    :ivar verb: get, list, watch, create, update, patch, delete, deletecollection; the lower-case method for a path
        that is no resource's.
    :ivar resource: plural, "" for a path that is no resource's.
    :ivar namespace: "" for requests on the whole cluster.
    """

    method: str
    path: str
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def full_resource(self) -> str:
        """The resource with its subresource, as roles name it, e.g. ``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def request_info(method: str, path: str, params: Mapping[str, str]) -> RequestInfo:
    """Return what a request is about."""
    steps = [step for step in path.split("/") if step]
    group, rest = "", []
    if steps[:1] == ["api"] and len(steps) > 2:
        rest = steps[2:]
    elif steps[:1] == ["apis"] and len(steps) > 3:
        group, rest = steps[1], steps[3:]
    if not rest:
        return RequestInfo(method, path, method.lower())
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        rest = rest[2:] if len(rest) > 2 else rest
    resource, name, subresource = (*rest, "", "", "")[:3]
    return RequestInfo(
        method,
        path,
        _verb(method, name, is_watch=is_true(params.get("watch", ""))),
        group=group,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def _verb(method: str, name: str, *, is_watch: bool) -> str:
    if method in {"GET", "HEAD"}:
        if is_watch:
            return "watch"
        return "get" if name else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return VERBS.get(method, method.lower())


def access_denied(info: RequestInfo, user: str) -> StatusError:
    """403: the user lacks the right, in the words of RBAC."""
    if not info.resource:
        message = f'forbidden: User "{user}" cannot {info.verb} path "{info.path}"'
        return StatusError(403, "Forbidden", message)
    named = f'{info.resource} "{info.name}"' if info.name else info.resource
    where = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
    message = (
        f'{named} is forbidden: User "{user}" cannot {info.verb} resource "{info.full_resource}" '
        f'in API group "{info.group}" {where}'
    )
    details = {"name": info.name} if info.name else {}
    return StatusError(403, "Forbidden", message, {**details, "kind": info.resource})
