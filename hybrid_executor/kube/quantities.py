"""Kubernetes quantities ("500m", "2Gi", "1e3") as exact numbers."""

from __future__ import annotations

import re
from decimal import Decimal

SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
QUANTITY = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?P<suffix>[A-Za-z]{0,2})")


def quantity(text: str | float) -> Decimal:
    """Return the value of a quantity.

    :raises ValueError: the text is no quantity.
    """
    match = QUANTITY.fullmatch(str(text).strip())
    if match is None or match["suffix"] not in SUFFIXES:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    return Decimal(match["number"]) * SUFFIXES[match["suffix"]]
