"""Pages for requests that are refused."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.plugin.page.rendering import render

_CURES = {
    401: "You are not logged in, or your login has expired.",
    403: "You may not see this page, or may not do this. Ask whoever manages the permissions of this Airflow.",
    404: "There is no such page.",
    405: "This address does not answer requests of this kind.",
}


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Answer with the error's own status, in words."""
    assert isinstance(error, HTTPException)
    lines = [_CURES.get(error.status_code, "")]
    if error.detail not in ("Forbidden", "Not authenticated", "Not Found", "Method Not Allowed"):
        lines.append(str(error.detail))
    return refuse(request, error.status_code, *lines)


async def answer_known_error(request: Request, error: Exception) -> Response:
    """Answer where an action was refused, or where Redis could not be asked."""
    status = 503 if isinstance(error, StoreUnavailable) else 409
    return refuse(request, status, str(error))


async def answer_slowness(request: Request, error: Exception) -> Response:
    """Answer where Redis has not answered a question."""
    return refuse(request, 503, "Redis does not answer, so nothing was done. Try again when it does.")


async def answer_bad_request(request: Request, error: Exception) -> Response:
    """Answer a request that lacks a part of its address or form."""
    return refuse(request, 400, "The address or the form is not complete. Go back to the page and try again.")


async def answer_database_error(request: Request, error: Exception) -> Response:
    """Answer where Airflow's database could not be asked for the user's permissions or a task's story."""
    return refuse(
        request,
        503,
        f"Airflow's database does not answer ({type(error).__name__}), so it is not known what you may see.",
        "Check that it runs and that the API server can reach it ([database] sql_alchemy_conn), and reload the page.",
    )


def refuse(request: Request, status: int, *lines: str) -> Response:
    """Return a page that says why a request is refused."""
    root = request.scope.get("root_path", "")
    if status == 401:
        link = {"words": "Log in", "href": f"../api/v2/auth/login?next={quote(root + '/')}", "is_around": False}
    else:
        link = {"words": "Back to the page", "href": "./", "is_around": False}
    title = {401: "Please log in", 403: "Not allowed", 404: "Not found"}.get(status, "This did not work")
    return render("message", status=status, title=title, lines=[line for line in lines if line], link=link)
