"""How an action is carried out: checked, written into the audit log, done, and told on the next page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from airflow.configuration import conf
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from hybrid_executor.operations.done import Done
from hybrid_executor.plugin.page.access import User
from hybrid_executor.plugin.page.context import Context
from hybrid_executor.plugin.page.forgery import comes_from_us
from hybrid_executor.plugin.page.reading import TooSlow
from hybrid_executor.plugin.page.rendering import HEADERS

_PATIENCE_SECONDS = 12.0
_FORGED = (
    "The form does not come from this page, or it is older than eight hours, so nothing was done. Open the page again "
    "in Airflow and repeat it."
)
_LATE = "There is no answer yet. Look at the page before you repeat it: it may still be done."


async def perform(
    request: Request,
    context: Context,
    *,
    user: User,
    token: str,
    write_row: Callable[[], object],
    do: Callable[[], Sequence[Done]],
    back: str,
) -> Response:
    """Carry out an action that the user may do, and lead the browser to a page that tells what became of it.

    :param token: of the form. :param write_row: writes the row of the audit log; if it fails, nothing is done.
    :param back: the address of that page.
    :raises HTTPException: 403 for a form that may be forged.
    :raises HybridError: it was not done, or it is not known whether it was.
    """
    is_ours = comes_from_us(request.headers, base_url=conf.get("api", "base_url", fallback=""))
    if not is_ours or not context.tokens.is_form(token, user.get_id()):
        raise HTTPException(403, _FORGED)
    await run_in_threadpool(write_row)
    try:
        results = await context.reading.once(do, patience_seconds=_PATIENCE_SECONDS)
        words, is_good = "; ".join(map(str, results)), all(done.is_done for done in results)
    except TooSlow:
        words, is_good = _LATE, False
    finally:
        context.reading.forget()
    notice = urlencode({"notice": context.tokens.make_notice(words, is_good=is_good)})
    return RedirectResponse(f"{back}{'&' if '?' in back else '?'}{notice}", status_code=303, headers=HEADERS)
