"""Attaching to a container over WebSocket: its standard input and output as frames.

The first byte of each frame is its channel: 0 input, 1 output, 2 errors, 3 a Status object at the end; since version 5
of the subprotocol 255, followed by a channel, which ends that channel. Held to a recording of a real API server 1.36.
What the recording does not show is made after the API's documentation: an attachment to a pod without a node, and
channel 255. Standard output and standard error are one stream here, channel 1.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from starlette.websockets import WebSocket, WebSocketDisconnect

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.connections import Connections
from hybrid_executor.sandbox.container_runs import ContainerRun
from hybrid_executor.sandbox.logs import log_query, read_from
from hybrid_executor.sandbox.objects import PODS, Object, name_of
from hybrid_executor.sandbox.queries import is_true
from hybrid_executor.sandbox.status import StatusError, bad_request

SUBPROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
POLL_SECONDS = 0.005
_INPUT, _OUTPUT, _STATUS, _END = 0, 1, 3, 255

FindRun = Callable[[Object, str], "ContainerRun | None"]
"""From a pod and a container's name to the container, ``None`` where no node runs it."""


class Attachments:
    """Serves ``pods/attach``."""

    def __init__(self, cluster: Cluster, connections: Connections, find_run: FindRun) -> None:
        self._cluster = cluster
        self._connections = connections
        self._find_run = find_run

    async def serve(self, socket: WebSocket) -> None:
        """Serve one attachment to its end.

        :raises StatusError: before it began: 400, 404.
        """
        pod = self._cluster.get(PODS, socket.path_params["namespace"], socket.path_params["name"])
        query = socket.query_params
        container = log_query(pod, query).container
        if not any(is_true(query.get(name, "")) for name in ("stdin", "stdout", "stderr")):
            raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
        if not pod["spec"].get("nodeName"):
            raise bad_request(f"pod {name_of(pod)} does not have a host assigned")
        subprotocol = next((one for one in SUBPROTOCOLS if one in socket.scope["subprotocols"]), None)
        if subprotocol is None:
            message = f"unable to upgrade: unable to negotiate protocol: client supports none of {list(SUBPROTOCOLS)}"
            raise StatusError(403, "Forbidden", message)
        await socket.accept(subprotocol=subprotocol)
        peer = (str(socket.scope["client"][0]), int(socket.scope["client"][1]))
        self._connections.attached(peer)
        try:
            await self._serve(socket, self._find_run(pod, container))
        except WebSocketDisconnect:
            return
        finally:
            self._connections.detached(peer)

    async def _serve(self, socket: WebSocket, run: ContainerRun | None) -> None:
        await socket.send_bytes(bytes([_OUTPUT]))
        if run is None or not run.record.is_running:
            await _end(socket, _no_task(run.record.container_id if run is not None else ""))
            return
        if run.was_attached:
            await _end(socket, {"metadata": {}, "status": "Success"})
            return
        shows_output = is_true(socket.query_params.get("stdout", ""))
        takes_input = is_true(socket.query_params.get("stdin", ""))
        printing = asyncio.create_task(_print(socket, run, shows_output=shows_output))
        reading = asyncio.create_task(_read(socket, run if takes_input else None))
        try:
            await asyncio.wait({printing, reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (printing, reading):
                task.cancel()
            await asyncio.gather(printing, reading, return_exceptions=True)
            if takes_input:
                run.end_input(if_once=True)


async def _read(socket: WebSocket, run: ContainerRun | None) -> None:
    """Pass the input on until the client is gone."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        data: bytes = message.get("bytes") or b""
        if run is None or len(data) < 2:
            continue
        if data[0] == _INPUT:
            run.write(data[1:])
        elif data[0] == _END and data[1] == _INPUT:
            run.end_input()


async def _print(socket: WebSocket, run: ContainerRun, *, shows_output: bool) -> None:
    """Send what the container prints from now on, and its end."""
    log = run.log
    offset = log.stat().st_size if log.exists() else 0
    is_running = True
    while is_running:
        is_running = run.record.is_running and run.log == log
        content = read_from(log, offset) if shows_output else b""
        offset += len(content)
        if content:
            await socket.send_bytes(bytes([_OUTPUT]) + content)
        elif is_running:
            await asyncio.sleep(POLL_SECONDS)
    await _end(socket, {"metadata": {}, "status": "Success"})


async def _end(socket: WebSocket, status: Object) -> None:
    text = json.dumps(status, separators=(",", ":")).encode()
    await socket.send_bytes(bytes([_STATUS]) + text)
    await socket.close(1000)


def _no_task(container_id: str) -> Object:
    """Return the Status for a container that does not run, in containerd's words."""
    task = container_id.rpartition("//")[2].replace("/", "") or "0"
    cause = (
        f"error attaching to container: failed to load task: no running task found: task {task} not found: not found"
    )
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {cause}",
        "reason": "InternalError",
        "details": {"causes": [{"message": cause}]},
        "code": 500,
    }
