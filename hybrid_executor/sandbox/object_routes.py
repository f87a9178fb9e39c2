"""The routes of all resources except pods: namespaces, events, quotas, secrets, config maps, access reviews."""

from __future__ import annotations

import base64
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hybrid_executor.sandbox.answers import JsonResponse, read_json, read_object
from hybrid_executor.sandbox.cluster import Cluster, new_namespace
from hybrid_executor.sandbox.collection_routes import Collections, Endpoint
from hybrid_executor.sandbox.discovery import AUTHORIZATION
from hybrid_executor.sandbox.interference import Interference
from hybrid_executor.sandbox.listing import list_objects
from hybrid_executor.sandbox.objects import (
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    QUOTAS,
    SECRETS,
    Object,
    Resource,
    is_being_deleted,
    name_of,
    namespace_of,
    timestamp,
    with_metadata,
)
from hybrid_executor.sandbox.pods import check_namespace_is_open, new_metadata
from hybrid_executor.sandbox.queries import apply_patch, list_query, selection_of
from hybrid_executor.sandbox.quotas import with_usage
from hybrid_executor.sandbox.validation import check_namespace_of, check_object

PLAIN_RESOURCES = (EVENTS, QUOTAS, SECRETS, CONFIG_MAPS)
REVIEW = "SelfSubjectAccessReview"


class ObjectRoutes:
    """Serves the resources without special rules."""

    def __init__(self, cluster: Cluster, collections: Collections, interference: Interference) -> None:
        self._cluster = cluster
        self._collections = collections
        self._interference = interference

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        review = Route(f"/apis/{AUTHORIZATION}/v1/selfsubjectaccessreviews", self.review, methods=["POST"])
        routes: list[BaseRoute] = [review, *self._routes_at("/api/v1/namespaces", NAMESPACES)]
        for resource in PLAIN_RESOURCES:
            everywhere = f"/api/v1/{resource.plural}"
            routes.append(Route(everywhere, self._collections.list_or_watch(resource), methods=["GET"]))
            routes.extend(self._routes_at(f"/api/v1/namespaces/{{namespace}}/{resource.plural}", resource))
        return routes

    def _routes_at(self, path: str, resource: Resource) -> list[BaseRoute]:
        return [
            Route(path, self._collections.list_or_watch(resource), methods=["GET"]),
            Route(path, self._create(resource), methods=["POST"]),
            Route(path, self._delete_collection(resource), methods=["DELETE"]),
            Route(path + "/{name}", self._read(resource), methods=["GET"]),
            Route(path + "/{name}", self._change(resource), methods=["PATCH"]),
            Route(path + "/{name}", self._delete(resource), methods=["DELETE"]),
        ]

    async def review(self, request: Request) -> Response:
        """Answer whether the token's user has a right: every right that is not denied."""
        body = await read_object(request)
        spec = body.get("spec") or {}
        asked: dict[str, Any] = spec.get("resourceAttributes") or {}
        resource = asked.get("resource", "")
        if asked.get("subresource"):
            resource = f"{resource}/{asked['subresource']}"
        is_denied = bool(asked) and self._interference.is_denied(
            verb=asked.get("verb", ""), resource=resource, namespace=asked.get("namespace", "")
        )
        answer = {
            "kind": REVIEW,
            "apiVersion": f"{AUTHORIZATION}/v1",
            "metadata": {},
            "spec": spec,
            "status": {"allowed": not is_denied},
        }
        return JsonResponse(answer, status_code=201)

    def _create(self, resource: Resource) -> Endpoint:
        async def create(request: Request) -> Response:
            body = await read_object(request)
            namespace = request.path_params.get("namespace", "")
            stored = _new_object(resource, namespace, body)
            if resource.is_namespaced:
                check_namespace_of(body, namespace)
                name = stored["metadata"].get("name", "")
                check_namespace_is_open(self._cluster, namespace, resource, name)
            check_object(stored, resource)
            return JsonResponse(resource.typed(self._cluster.create(resource, stored)), status_code=201)

        return create

    def _read(self, resource: Resource) -> Endpoint:
        async def read(request: Request) -> Response:
            return JsonResponse(resource.typed(self._shown(resource, self._find(resource, request))))

        return read

    def _change(self, resource: Resource) -> Endpoint:
        async def change(request: Request) -> Response:
            patch = await read_json(request)
            before = self._find(resource, request)
            patched = apply_patch(request.headers.get("content-type", ""), resource.typed(before), patch)
            after = {key: value for key, value in patched.items() if key not in {"kind", "apiVersion"}}
            check_object(after, resource)
            return JsonResponse(resource.typed(self._cluster.replace(resource, after)))

        return change

    def _delete(self, resource: Resource) -> Endpoint:
        async def delete(request: Request) -> Response:
            stored = self._find(resource, request)
            if resource is NAMESPACES:
                return JsonResponse(resource.typed(self._end_namespace(stored)))
            shown = self._shown(resource, stored)
            self._cluster.remove(resource, namespace_of(stored), name_of(stored))
            return JsonResponse(resource.typed(shown))

        return delete

    def _delete_collection(self, resource: Resource) -> Endpoint:
        async def delete_collection(request: Request) -> Response:
            namespace = request.path_params.get("namespace")
            selection = selection_of(resource, namespace, request.query_params)
            query = list_query(selection, request.query_params)
            answer = list_objects(self._cluster, query, metadata_only=False)
            for stored in answer["items"]:
                if resource is NAMESPACES:
                    self._end_namespace(stored)
                else:
                    self._cluster.remove(resource, namespace_of(stored), name_of(stored))
            return JsonResponse(answer)

        return delete_collection

    def _end_namespace(self, stored: Object) -> Object:
        """Mark a namespace as ending; the namespace controller empties and removes it."""
        if is_being_deleted(stored):
            return stored
        ending = with_metadata(stored, {"deletionTimestamp": timestamp()})
        return self._cluster.replace(NAMESPACES, {**ending, "status": {"phase": "Terminating"}})

    def _shown(self, resource: Resource, stored: Object) -> Object:
        return with_usage(self._cluster, stored) if resource is QUOTAS else stored

    def _find(self, resource: Resource, request: Request) -> Object:
        namespace = request.path_params.get("namespace", "")
        return self._cluster.get(resource, namespace, request.path_params["name"])


def _new_object(resource: Resource, namespace: str, body: Object) -> Object:
    given = {key: value for key, value in body.items() if key not in {"kind", "apiVersion", "status"}}
    stored: Object = {**given, "metadata": new_metadata(body.get("metadata") or {}, namespace)}
    if resource is NAMESPACES:
        template = new_namespace(stored["metadata"].get("name", ""))
        labels = {**(stored["metadata"].get("labels") or {}), **template["metadata"]["labels"]}
        return {**template, "metadata": {**stored["metadata"], "labels": labels}}
    if resource is QUOTAS:
        return {**stored, "spec": stored.get("spec") or {}, "status": {}}
    if resource is SECRETS:
        texts: dict[str, str] = stored.pop("stringData", None) or {}
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        return {"type": "Opaque", **stored, "data": {**(stored.get("data") or {}), **encoded}}
    return stored
