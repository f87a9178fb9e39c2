"""The sandbox's own routes: scripted faults over HTTP, for tests in other processes and other languages.

``GET|POST|DELETE /sandbox/faults``, ``DELETE /sandbox/faults/<id>``, ``POST /sandbox/commands/<name>``; all need the
token.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hybrid_executor.sandbox.answers import JsonResponse, read_json
from hybrid_executor.sandbox.disturbances import Disturbances
from hybrid_executor.sandbox.fault_rules import FaultRules, fault_from
from hybrid_executor.sandbox.status import bad_request


class FaultRoutes:
    """Serves the scripting of faults."""

    def __init__(self, rules: FaultRules, disturbances: Disturbances) -> None:
        self._rules = rules
        self._disturbances = disturbances

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route("/sandbox/faults", self.list, methods=["GET"]),
            Route("/sandbox/faults", self.add, methods=["POST"]),
            Route("/sandbox/faults", self.clear, methods=["DELETE"]),
            Route("/sandbox/faults/{id}", self.remove, methods=["DELETE"]),
            Route("/sandbox/commands/{name}", self.command, methods=["POST"]),
        ]

    async def list(self, _: Request) -> Response:
        """Return the faults in force."""
        return JsonResponse({"faults": self._rules.as_json()})

    async def add(self, request: Request) -> Response:
        """Put a fault in force; answers with its id."""
        body = await read_json(request)
        if not isinstance(body, dict):
            raise bad_request("a fault is a JSON object")
        return JsonResponse({"id": self._rules.add(fault_from(body))}, status_code=201)

    async def clear(self, _: Request) -> Response:
        """Take all faults and denials back."""
        self._rules.clear()
        return JsonResponse({"faults": []})

    async def remove(self, request: Request) -> Response:
        """Take one fault back."""
        self._rules.remove(request.path_params["id"])
        return JsonResponse({"faults": self._rules.as_json()})

    async def command(self, request: Request) -> Response:
        """Run a command."""
        arguments = await read_json(request) or {}
        if not isinstance(arguments, dict):
            raise bad_request("a command's arguments are a JSON object")
        result = self._disturbances.run(request.path_params["name"], arguments)
        return JsonResponse({"result": result})
