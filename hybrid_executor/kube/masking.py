"""Tokens in text that containers wrote: hidden before anybody stores or shows it. Pure."""

from __future__ import annotations

import re

# A workload's token is a JWT. Text that was cut short may hold its beginning only.
_TOKEN = re.compile(r"eyJ[\w-]{8,}[\w.-]*")


def hide_tokens(text: str) -> str:
    """Return ``text`` with everything that looks like a JSON Web Token, or the beginning of one, hidden."""
    return _TOKEN.sub("<hidden>", text)
