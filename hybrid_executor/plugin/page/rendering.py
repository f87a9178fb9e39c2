"""HTML from templates. Every value is escaped, and every page forbids scripts and styles that are not our files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from hybrid_executor.insight.durations import in_words, some
from hybrid_executor.insight.targets import moved_words
from hybrid_executor.plugin.page.wording import moment, slots, tab, why

STATIC = Path(__file__).parent / "static"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_environment = Environment(
    loader=PackageLoader("hybrid_executor.plugin.page"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters.update(duration=in_words, some=some, why=why, tab=tab, slots=slots, moment=moment)
_environment.globals["moved_words"] = moved_words
# A browser that has an older release's files in its cache asks for ours.
_environment.globals["version"] = hashlib.sha256(
    b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()))
).hexdigest()[:8]


def render(template: str, *, status: int = 200, **values: object) -> HTMLResponse:
    """Return a page.

    :param template: the file's name without its suffix.
    """
    html = _environment.get_template(f"{template}.html").render(**values)
    return HTMLResponse(html, status_code=status, headers=HEADERS)
