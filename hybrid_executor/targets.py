"""The targets of a route: a pool, and the conditions on which it takes an attempt. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn

from hybrid_executor.errors import ConfigError

POOLS = ("celery", "kubernetes", "local")
_CONDITIONS = "max=N, wait=DURATION, tries=N, served"
_SHAPE = re.compile(r"(?P<pool>[^:()]*?)\s*(?::(?P<profile>[^()]*?))?\s*(?:\((?P<conditions>[^()]*)\))?\Z")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?\Z")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Target:
    """A pool as one of the places where a route's work may go.

    :ivar profile: "" for none.
    :ivar most: most live attempts of the route on this target, over all schedulers; ``None`` for no limit.
    :ivar wait_seconds: an attempt that has waited here so long without a start goes on to the next target; ``None``
        for never.
    :ivar tries: it takes the first so many tries of a task; ``None`` for all.
    :ivar is_served: it takes nothing while no living worker serves the queue.
    """

    pool: str
    profile: str = ""
    most: int | None = None
    wait_seconds: float | None = None
    tries: int | None = None
    is_served: bool = False

    @property
    def name(self) -> str:
        """The target without its conditions, such as ``kubernetes:spot``. It is unique in its route."""
        return target_name(self.pool, self.profile)

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions as they are written."""
        found = []
        if self.most is not None:
            found.append(f"max={self.most}")
        if self.wait_seconds is not None:
            found.append(f"wait={_duration_words(self.wait_seconds)}")
        if self.tries is not None:
            found.append(f"tries={self.tries}")
        return (*found, "served") if self.is_served else tuple(found)

    def __str__(self) -> str:
        return self.name + (f"({', '.join(self.conditions)})" if self.conditions else "")


def target_name(pool: str, profile: str = "") -> str:
    """Return the name of the target of a pool and a profile."""
    return f"{pool}:{profile}" if profile else pool


def place_name(pattern: str, target: str) -> str:
    """Return the name of a place, such as ``etl-*>kubernetes:spot``: a route's share of a target."""
    return f"{pattern}>{target}"


def split_outside_brackets(text: str, separators: str, *, option: str) -> list[str]:
    """Return the parts of a text without empty ones; what stands in brackets is not split.

    :raises ConfigError: a bracket has no partner.
    """
    parts, depth = [""], 0
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if depth not in (0, 1):
            break
        if sign in separators and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    found = [part.strip() for part in parts if part.strip()]
    if depth:
        raise ConfigError(
            f"{option}: {found[-1] if found else text!r} has an unmatched bracket; write conditions as in "
            "celery(max=200, wait=20s)."
        )
    return found


def parse_target(text: str, *, route: str, is_last: bool, profiles: Collection[str], option: str) -> Target:
    """Return the target that ``text`` describes: ``pool[:profile][(condition, ...)]``.

    Conditions are ``max=N``, ``wait=DURATION`` (``20s``, ``5m``, ``1h``; a number is seconds), ``tries=N`` and
    ``served``.

    :param route: the route that it is written in, for messages.
    :param is_last: no other target follows.
    :raises ConfigError: it is malformed, or a condition makes no sense for it; the message says what to write.
    """
    shape = _SHAPE.match(text)
    if shape is None:
        raise ConfigError(
            f"{option}: {text!r} in {route!r} is not a target; write pool, pool:profile or pool(conditions), such as "
            "celery(max=200, wait=20s)."
        )
    pool, profile = shape["pool"].strip(), (shape["profile"] or "").strip()
    if pool not in POOLS:
        raise ConfigError(f"{option}: unknown pool {pool!r} in {route!r}; write one of {_listed(POOLS)}.")
    if shape["profile"] is not None and not profile:
        raise ConfigError(f"{option}: {route!r} has no profile after the colon; write {pool} without a colon.")
    if profile and pool != "kubernetes":
        raise ConfigError(
            f"{option}: {route!r} has a profile for the pool {pool!r}; only the pool kubernetes has profiles."
        )
    if profile and profile not in profiles:
        known = (
            f"write one of {_listed(profiles)}, or add it to [hybrid_executor] profiles_file"
            if profiles
            else "set [hybrid_executor] profiles_file to a file that has it"
        )
        raise ConfigError(f"{option}: unknown profile {profile!r} in {route!r}; {known}.")
    reader = _Conditions(target_name(pool, profile), route=route, option=option)
    target = reader.read(pool, profile, shape["conditions"])
    reader.check(target, is_last=is_last)
    return target


class _Conditions:
    """Reads the conditions of one target.

    :param name: of the target.
    """

    def __init__(self, name: str, *, route: str, option: str) -> None:
        self._name = name
        self._route = route
        self._option = option

    def read(self, pool: str, profile: str, text: str | None) -> Target:
        if text is None:
            return Target(pool, profile)
        values: dict[str, str | None] = {}
        for part in text.split(","):
            name, separator, value = (piece.strip() for piece in part.partition("="))
            if name not in ("max", "wait", "tries", "served"):
                self._refuse(f"unknown condition {part.strip()!r}", f"write one of {_CONDITIONS}, or no brackets")
            if name in values:
                self._refuse(f"the condition {name} appears twice", "remove one of them")
            values[name] = value if separator else None
        if values.get("served") is not None:
            self._refuse("'served' has no value", "write served alone")
        return Target(
            pool,
            profile,
            most=self._count(values, "max"),
            wait_seconds=self._duration(values, "wait"),
            tries=self._count(values, "tries"),
            is_served="served" in values,
        )

    def check(self, target: Target, *, is_last: bool) -> None:
        """Refuse conditions that can have no effect on such a target."""
        if target.is_served and target.pool != "celery":
            self._refuse(f"'served' asks for a worker, and {target.pool} has none", "remove served")
        if target.pool == "local" and (target.most is not None or target.wait_seconds is not None):
            self._refuse(
                "max and wait need a record in Redis, which work of the pool local does not have",
                "remove them and set [hybrid_executor] local_parallelism",
            )
        if not is_last:
            return
        for condition in target.conditions:
            if not condition.startswith("max="):
                self._refuse(
                    f"{condition} sends work on to the next target, and this is the last one",
                    "add a target after it, such as '> kubernetes', or remove the condition",
                )

    def _count(self, values: dict[str, str | None], name: str) -> int | None:
        if name not in values:
            return None
        text = values[name] or ""
        if not text.isdecimal() or not int(text):
            self._refuse(f"{name} = {text!r} is not a whole number from 1 up", f"write a number, such as {name}=2")
        return int(text)

    def _duration(self, values: dict[str, str | None], name: str) -> float | None:
        if name not in values:
            return None
        match = _DURATION.match(values[name] or "")
        if match is None or not float(match[1]):
            self._refuse(
                f"{name} = {values[name] or ''!r} is not a duration",
                "write a number with s, m, h or d, such as wait=20s",
            )
        return float(match[1]) * _SECONDS[match[2] or "s"]

    def _refuse(self, what: str, cure: str) -> NoReturn:
        raise ConfigError(f"{self._option}: target {self._name} in {self._route!r}: {what}; {cure}.")


def _duration_words(seconds: float) -> str:
    """Return a duration as it is written, in the largest unit that gives a whole number."""
    for unit in ("d", "h", "m"):
        if seconds >= _SECONDS[unit] and not seconds % _SECONDS[unit]:
            return f"{seconds / _SECONDS[unit]:g}{unit}"
    return f"{seconds:g}s"


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
