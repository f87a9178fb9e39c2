"""The version and discovery documents, as far as clients need them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from hybrid_executor.sandbox.answers import JsonResponse
from hybrid_executor.sandbox.objects import RESOURCES, Object

VERSION: Object = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.0+hybrid-sandbox",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
"""The version whose behaviour the sandbox is held to."""

AUTHORIZATION = "authorization.k8s.io"
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
SUBRESOURCE_VERBS = {
    "attach": ["create", "get"],
    "status": ["get", "patch", "update"],
    "log": ["get"],
    "eviction": ["create"],
}

SUBRESOURCE_KINDS = {"attach": "PodAttachOptions", "eviction": "Eviction"}


def core_resources() -> Object:
    """Return the resource list of ``/api/v1``."""
    entries: list[Object] = []
    for resource in RESOURCES:
        entry: Object = {
            "name": resource.plural,
            "singularName": resource.kind.lower(),
            "namespaced": resource.is_namespaced,
            "kind": resource.kind,
            "verbs": VERBS,
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        entries.append(entry)
        for name in resource.subresources:
            kind = SUBRESOURCE_KINDS.get(name, resource.kind)
            path = f"{resource.plural}/{name}"
            verbs = SUBRESOURCE_VERBS[name]
            entries.append({"name": path, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs})
    return {"kind": "APIResourceList", "groupVersion": "v1", "resources": entries}


def authorization_resources() -> Object:
    """Return the resource list of the authorization group."""
    review = {
        "name": "selfsubjectaccessreviews",
        "singularName": "selfsubjectaccessreview",
        "namespaced": False,
        "kind": "SelfSubjectAccessReview",
        "verbs": ["create"],
    }
    group_version = f"{AUTHORIZATION}/v1"
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": [review],
    }


def api_groups() -> Object:
    """Return the document of ``/apis``."""
    version = {"groupVersion": f"{AUTHORIZATION}/v1", "version": "v1"}
    group = {"name": AUTHORIZATION, "versions": [version], "preferredVersion": version}
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}


def _document(path: str, document: Object) -> Route:
    async def answer(_: Request) -> Response:
        return JsonResponse(document)

    return Route(path, answer)


def _health(path: str) -> Route:
    async def answer(_: Request) -> Response:
        return PlainTextResponse("ok")

    return Route(path, answer)


def routes() -> list[BaseRoute]:
    """Return the routes of everything that does not depend on the objects."""
    return [
        _document("/version", VERSION),
        _document("/api", {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        _document("/api/v1", core_resources()),
        _document("/apis", api_groups()),
        _document(f"/apis/{AUTHORIZATION}/v1", authorization_resources()),
        *(_health(path) for path in ("/healthz", "/livez", "/readyz")),
    ]
