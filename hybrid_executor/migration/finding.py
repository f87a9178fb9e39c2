"""One thing that a migration has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["blocked", "change", "check", "behaviour", "gone", "kept"]

NEEDS_WORK: tuple[Kind, ...] = ("blocked", "change")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that changes, or that does not.

    :ivar kind: ``blocked``: only a person can decide or correct it, and Airflow does not work before that; ``change``:
        it has to change; ``check``: this command cannot see whether it has to; ``behaviour``: it works, but in another
        way; ``gone``: it does not exist any more or has no effect; ``kept``: it needs no change.
    :ivar subject: an option, a file with a line, or the name of what behaves differently.
    :ivar what: what is there now, or what is different.
    :ivar instead: what to write or do; "" if there is nothing to do.
    :ivar why: the reason.
    :ivar documented: where this is described.
    """

    kind: Kind
    subject: str
    what: str
    instead: str = ""
    why: str = ""
    documented: str = ""
