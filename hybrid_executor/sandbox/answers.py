"""HTTP answers: JSON objects, Status bodies, and streams."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from hybrid_executor.sandbox.history import encode
from hybrid_executor.sandbox.status import StatusError, bad_request

TOO_MANY_REQUESTS = "Too many requests, please try again later."
"""The plain-text body of a real server's 429."""


class JsonResponse(Response):
    """A JSON answer, compact as the API's."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return encode(content)


def refusal(error: StatusError) -> Response:
    """Return the answer of a refused request."""
    return JsonResponse(error.body(), status_code=error.code, headers=dict(error.headers))


def too_many_requests(retry_after_seconds: int) -> Response:
    """Return the 429 of a server that sheds load."""
    headers = {"Retry-After": str(retry_after_seconds)}
    return PlainTextResponse(TOO_MANY_REQUESTS + "\n", status_code=429, headers=headers)


def warnings_of(unknown_fields: list[str]) -> Mapping[str, str]:
    """Return the header that names fields which were dropped."""
    if not unknown_fields:
        return {}
    return {"Warning": ", ".join(f'299 - "unknown field \\"{path}\\""' for path in unknown_fields)}


async def read_json(request: Request) -> Any:
    """Return the body, None if it is empty.

    :raises StatusError: 400, it is not JSON.
    """
    body = await request.body()
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from error


async def read_object(request: Request) -> dict[str, Any]:
    """Return the body, a JSON object.

    :raises StatusError: 400, it is not.
    """
    body = await read_json(request)
    if not isinstance(body, dict):
        raise bad_request("the object provided is unrecognized: it must be a JSON object")
    if not isinstance(body.get("metadata") or {}, dict):
        raise bad_request("the object provided is unrecognized: metadata must be a JSON object")
    return body
