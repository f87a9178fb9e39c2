"""The routes of pods: requests in, :class:`~hybrid_executor.sandbox.pods.Pods` and answers out."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute

from hybrid_executor.sandbox.answers import JsonResponse, read_json, read_object, warnings_of
from hybrid_executor.sandbox.attaching import Attachments
from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.collection_routes import Collections
from hybrid_executor.sandbox.listing import list_objects, list_of, partial
from hybrid_executor.sandbox.logs import LogStore, is_running, log_query, restart_to_read
from hybrid_executor.sandbox.objects import PODS, Object, name_of, namespace_of
from hybrid_executor.sandbox.pods import Deletion, Pods
from hybrid_executor.sandbox.queries import (
    apply_patch,
    deletion_of,
    list_query,
    selection_of,
    wants_metadata_only,
)
from hybrid_executor.sandbox.status import StatusError, bad_request, success

COLLECTION = "/api/v1/namespaces/{namespace}/pods"
ITEM = COLLECTION + "/{name}"


class PodRoutes:
    """Serves pods."""

    def __init__(
        self, cluster: Cluster, pods: Pods, collections: Collections, logs: LogStore, attachments: Attachments
    ) -> None:
        self._attachments = attachments
        self._cluster = cluster
        self._pods = pods
        self._collections = collections
        self._logs = logs

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        collections = self._collections
        return [
            Route("/api/v1/pods", collections.list_or_watch(PODS), methods=["GET"]),
            Route(COLLECTION, collections.list_or_watch(PODS), methods=["GET"]),
            Route(COLLECTION, self.create, methods=["POST"]),
            Route(COLLECTION, self.delete_collection, methods=["DELETE"]),
            Route(ITEM, self.read, methods=["GET"]),
            Route(ITEM, self.change, methods=["PATCH", "PUT"]),
            Route(ITEM, self.delete, methods=["DELETE"]),
            Route(ITEM + "/status", self.read, methods=["GET"]),
            Route(ITEM + "/status", self.change_status, methods=["PATCH", "PUT"]),
            Route(ITEM + "/log", self.log, methods=["GET"]),
            WebSocketRoute(ITEM + "/attach", self._attachments.serve),
            Route(ITEM + "/attach", self.attach_without_upgrade, methods=["GET", "POST"]),
            Route(ITEM + "/eviction", self.evict, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        """Create a pod."""
        pod, unknown = self._pods.create(
            request.path_params["namespace"],
            await read_object(request),
            is_strict=request.query_params.get("fieldValidation") == "Strict",
            is_dry_run=_is_dry_run(request),
        )
        shows_unknown = request.query_params.get("fieldValidation") != "Ignore"
        headers = warnings_of(unknown) if shows_unknown else {}
        return JsonResponse(PODS.typed(pod), status_code=201, headers=dict(headers))

    async def read(self, request: Request) -> Response:
        """Return one pod."""
        pod = self._find(request)
        shown = partial(pod) if wants_metadata_only(request.headers.get("accept", "")) else PODS.typed(pod)
        return JsonResponse(shown)

    async def change(self, request: Request) -> Response:
        """Patch or replace all but the status."""
        body = await read_json(request)
        before = self._find(request)
        return JsonResponse(PODS.typed(self._pods.update(before, _changed(request, before, body))))

    async def change_status(self, request: Request) -> Response:
        """Patch or replace the status only."""
        body = await read_json(request)
        before = self._find(request)
        return JsonResponse(PODS.typed(self._pods.update_status(before, _changed(request, before, body))))

    async def delete(self, request: Request) -> Response:
        """Delete one pod."""
        deletion = deletion_of(request.query_params, await read_json(request))
        pod = self._find(request)
        deleted = self._pods.delete(namespace_of(pod), name_of(pod), deletion, is_dry_run=_is_dry_run(request))
        return JsonResponse(PODS.typed(deleted))

    async def delete_collection(self, request: Request) -> Response:
        """Delete all pods that are selected; answers with them as they were."""
        options = deletion_of(request.query_params, await read_json(request))
        deletion = Deletion(grace_seconds=options.grace_seconds)
        selection = selection_of(PODS, request.path_params["namespace"], request.query_params)
        answer = list_objects(self._cluster, list_query(selection, request.query_params), metadata_only=False)
        for pod in answer["items"]:
            self._pods.delete(namespace_of(pod), name_of(pod), deletion, is_dry_run=_is_dry_run(request))
        return JsonResponse(list_of(PODS, answer["items"], answer["metadata"]))

    async def evict(self, request: Request) -> Response:
        """Delete a pod through the eviction API (there are no disruption budgets here)."""
        eviction = await read_object(request)
        deletion = deletion_of(request.query_params, eviction.get("deleteOptions"))
        pod = self._find(request)
        self._pods.delete(namespace_of(pod), name_of(pod), deletion)
        return JsonResponse(success(201), status_code=201)

    async def attach_without_upgrade(self, request: Request) -> Response:
        """Refuse an attachment that is no WebSocket."""
        self._find(request)
        raise bad_request("Upgrade request required")

    async def log(self, request: Request) -> Response:
        """Return or follow a container's log; 204 for a pod that no node has, as recorded."""
        pod = self._find(request)
        query = log_query(pod, request.query_params)
        if not pod["spec"].get("nodeName"):
            return Response(status_code=204)
        restart_to_read(pod, query)

        def is_printing() -> bool:
            current = self._cluster.find(PODS, namespace_of(pod), name_of(pod))
            is_same = current is not None and current["metadata"]["uid"] == pod["metadata"]["uid"]
            return current is not None and is_same and is_running(current, query.container)

        content: AsyncIterator[bytes] = self._logs.read(pod, query, is_printing=is_printing)
        return StreamingResponse(content, media_type="text/plain")

    def _find(self, request: Request) -> Object:
        return self._cluster.get(PODS, request.path_params["namespace"], request.path_params["name"])


def _is_dry_run(request: Request) -> bool:
    return "All" in request.query_params.getlist("dryRun")


def _changed(request: Request, before: Object, body: object) -> Object:
    """Return what the request makes of the pod: the patched pod, or the new manifest."""
    if request.method == "PATCH":
        return apply_patch(request.headers.get("content-type", ""), PODS.typed(before), body)
    if not isinstance(body, dict) or not isinstance(body.get("metadata"), dict):
        raise bad_request("the object provided is unrecognized: it must be a JSON object with metadata")
    if body["metadata"].get("name") != name_of(before):
        raise _misnamed(body, before)
    return body


def _misnamed(body: Object, before: Object) -> StatusError:
    given = body["metadata"].get("name", "")
    return bad_request(f"the name of the object ({given}) does not match the name on the URL ({name_of(before)})")
