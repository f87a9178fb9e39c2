"""Durations as people write them on the command line."""

from __future__ import annotations

import re

from hybrid_executor.errors import ConfigError

_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|)")


def parse_duration(text: str, *, option: str) -> float:
    """Return the seconds in "90", "90s", "15m", "2h", "1d" or "1h30m".

    :param option: names the option in an error.
    :raises ConfigError: it is none of these.
    """
    compact = text.strip().lower().replace(" ", "")
    parts = _PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise ConfigError(f"{option} {text!r} is not a duration: write 90s, 15m, 2h or 1d.")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
