"""A page that shows a state and keeps itself current: read, loading, or unknown."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hybrid_executor.errors import ConfigError, HybridError
from hybrid_executor.plugin.page.context import Context
from hybrid_executor.plugin.page.reading import TooSlow
from hybrid_executor.plugin.page.rendering import render

T = TypeVar("T")

_FIRST_SECONDS = 1.5
"""How long a new page waits before it says that it is loading."""
_UPDATE_SECONDS = 8.0
"""How long an update waits before it says that there is no answer."""
_ASK_REDIS = (
    "Check that Redis runs and that the API server can reach it: 'airflow hybrid status' on the API server's machine "
    "asks the same Redis."
)
_ASK_CONFIG = "Change the configuration of the API server, and restart it."


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page, or the part of it that changes.

    :ivar template: the name of the template of the part that changes.
    :ivar is_part: only that part is asked for.
    :ivar notice: a signed sentence about the last action, "" for none.
    """

    template: str
    title: str
    subtitle: str = ""
    is_part: bool = False
    notice: str = ""


async def answer(
    context: Context,
    page: Page,
    *,
    key: Hashable,
    question: Callable[[], T],
    fit: Callable[[T], Mapping[str, Any]],
) -> Response:
    """Ask a question and show the answer.

    :param key: the same for everybody who asks the same.
    :param question: asks Redis and the database. It may block, and does not depend on the user.
    :param fit: returns what this user sees of it. It may ask the database for permissions.
    :return: 503 if the state is unknown.
    """
    try:
        patience = _UPDATE_SECONDS if page.is_part else _FIRST_SECONDS
        found = await context.reading.ask(key, question, patience_seconds=patience)
    except TooSlow:
        if not page.is_part:
            return _show(context, page, "unknown", is_loading=True, trouble="", cure="")
        words = f"Redis has not answered for {_UPDATE_SECONDS:.0f} seconds."
        return _show(context, page, "unknown", status=503, is_loading=False, trouble=words, cure=_ASK_REDIS)
    except HybridError as error:
        cure = _ASK_CONFIG if isinstance(error, ConfigError) else _ASK_REDIS
        return _show(context, page, "unknown", status=503, is_loading=False, trouble=_sentence(error), cure=cure)
    return _show(context, page, page.template, **await run_in_threadpool(fit, found))


def _show(context: Context, page: Page, template: str, *, status: int = 200, **values: Any) -> Response:
    if page.is_part:
        response = render(template, status=status, **values)
        response.headers["X-Hybrid-Part"] = "live"
        return response
    notice = context.tokens.read_notice(page.notice)
    return render(
        "live",
        status=status,
        part=f"{template}.html",
        title=page.title,
        subtitle=page.subtitle,
        notice=notice and {"words": notice[0], "is_good": notice[1]},
        **values,
    )


def _sentence(error: HybridError) -> str:
    words = str(error)
    return f"{words[:1].upper()}{words[1:]}" + ("" if words.endswith((".", "!", "?")) else ".")
