"""The ASGI application: all routes, behind the gate."""

from __future__ import annotations

from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from hybrid_executor.sandbox import discovery
from hybrid_executor.sandbox.attaching import Attachments, FindRun
from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.collection_routes import Collections
from hybrid_executor.sandbox.connections import Connections
from hybrid_executor.sandbox.gate import Gate
from hybrid_executor.sandbox.interference import Interference
from hybrid_executor.sandbox.logs import LogStore
from hybrid_executor.sandbox.object_routes import ObjectRoutes
from hybrid_executor.sandbox.pod_routes import PodRoutes
from hybrid_executor.sandbox.pods import Pods
from hybrid_executor.sandbox.status import no_such_path
from hybrid_executor.sandbox.watching import WatchSwitch


def make_application(
    *,
    cluster: Cluster,
    pods: Pods,
    logs: LogStore,
    interference: Interference,
    connections: Connections,
    switch: WatchSwitch,
    token: str,
    bookmark_seconds: float,
    find_run: FindRun,
) -> Gate:
    """Return the ASGI application of one sandbox."""
    collections = Collections(cluster, switch, connections, bookmark_seconds=bookmark_seconds)
    router = Router(
        routes=[
            *PodRoutes(cluster, pods, collections, logs, Attachments(cluster, connections, find_run)).routes(),
            *ObjectRoutes(cluster, collections, interference).routes(),
            *discovery.routes(),
        ],
        redirect_slashes=False,
        default=_refuse,
    )
    return Gate(router, token=token, interference=interference)


async def _refuse(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise no_such_path()
