"""Reads the message of a quota's refusal. Pure.

The API server gives them as text only: the Status object has no field for them. They come from the quota controller's
``checkRequest`` and list only the resources that were exceeded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from hybrid_executor.kube.quantities import quantity

_MARK = "exceeded quota: "
_WORDS = re.compile(
    r"exceeded quota: (?P<name>[^,\s]+), requested: (?P<requested>\S+), used: (?P<used>\S+), limited: (?P<limited>\S+)"
)


@dataclass(frozen=True)
class QuotaRefusal:
    """A quota that refuses a pod.

    :ivar name: the quota's name, "" if the message could not be read.
    :ivar requested: how much of each exceeded resource the pod asks for. :ivar limited: how much the quota allows.
    """

    name: str
    words: str
    requested: Mapping[str, Decimal] = field(default_factory=dict)
    limited: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def never_fits(self) -> tuple[str, ...]:
        """The resources of which the pod asks for more than the quota allows to all pods together."""
        return tuple(name for name, amount in self.requested.items() if amount > self.limited.get(name, amount))


def read_quota_refusal(message: str) -> QuotaRefusal | None:
    """Return what the message of a 403 says about a quota, None if it is about something else."""
    if _MARK not in message:
        return None
    match = _WORDS.search(message)
    words = message[message.index(_MARK) + len(_MARK) :]
    if match is None:
        return QuotaRefusal("", words)
    try:
        return QuotaRefusal(match["name"], words, _amounts(match["requested"]), _amounts(match["limited"]))
    except ValueError:
        return QuotaRefusal(match["name"], words)


def _amounts(text: str) -> dict[str, Decimal]:
    pairs = (part.rpartition("=") for part in text.split(","))
    return {name: quantity(amount) for name, _, amount in pairs}
