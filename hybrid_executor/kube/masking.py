"""Text that containers wrote, cleaned so that it can be stored and shown. Pure."""

from __future__ import annotations

import re

# A workload's token is a JWT. Text that was cut short may hold its beginning only.
_TOKEN = re.compile(r"eyJ[\w-]{8,}[\w.-]*")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# PostgreSQL refuses text with a NUL, and terminals execute the others.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def make_fit(text: str) -> str:
    """Return ``text`` without control characters, and with everything hidden that looks like a JSON Web Token.

    The beginning of a token is hidden too. Line ends and tabs stay.
    """
    return _TOKEN.sub("<hidden>", _CONTROL.sub("\N{REPLACEMENT CHARACTER}", _COLOUR.sub("", text)))
