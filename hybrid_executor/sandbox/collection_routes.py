"""Lists and watches: the GET of every collection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hybrid_executor.sandbox.answers import JsonResponse
from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.connections import Connections, Peer
from hybrid_executor.sandbox.listing import list_objects
from hybrid_executor.sandbox.objects import QUOTAS, Resource
from hybrid_executor.sandbox.queries import (
    is_true,
    list_query,
    selection_of,
    wants_metadata_only,
    watch_query,
)
from hybrid_executor.sandbox.quotas import with_usage
from hybrid_executor.sandbox.watching import BOOKMARK_SECONDS, Watch, WatchSwitch

Endpoint = Callable[[Request], Awaitable[Response]]


class Collections:
    """Serves the collections of every resource.

    :param bookmark_seconds: how often a watch that asks for bookmarks gets one.
    """

    def __init__(
        self,
        cluster: Cluster,
        switch: WatchSwitch,
        connections: Connections,
        *,
        bookmark_seconds: float = BOOKMARK_SECONDS,
    ) -> None:
        self._cluster = cluster
        self._switch = switch
        self._connections = connections
        self._bookmark_seconds = bookmark_seconds

    def list_or_watch(self, resource: Resource) -> Endpoint:
        """Return the endpoint of a resource's collections."""

        async def answer(request: Request) -> Response:
            params = request.query_params
            selection = selection_of(resource, request.path_params.get("namespace"), params)
            metadata_only = wants_metadata_only(request.headers.get("accept", ""))
            if not is_true(params.get("watch", "")):
                answer = list_objects(self._cluster, list_query(selection, params), metadata_only=metadata_only)
                if resource is QUOTAS and not metadata_only:
                    answer["items"] = [with_usage(self._cluster, quota) for quota in answer["items"]]
                return JsonResponse(answer)
            watch = Watch(
                self._cluster,
                self._switch,
                watch_query(selection, params),
                metadata_only=metadata_only,
                bookmark_seconds=self._bookmark_seconds,
            )
            lines = self._recorded(watch, (request["client"][0], request["client"][1]))
            return StreamingResponse(lines, media_type="application/json")

        return answer

    async def _recorded(self, watch: Watch, peer: Peer) -> AsyncIterator[bytes]:
        """Stream a watch, known to the connections for as long as it lasts."""
        self._connections.watching(peer)
        try:
            async for lines in watch.stream():
                yield lines
        finally:
            self._connections.watched(peer)
