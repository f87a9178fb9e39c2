"""Routes: which pool, and which profile, a queue's tasks go to. Pure; checked once when a process starts."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from hybrid_executor.errors import ConfigError

POOLS = ("celery", "kubernetes", "local")
_EXAMPLE = "kubernetes=kubernetes, gpu-*=kubernetes:gpu, *=celery"


@dataclass(frozen=True)
class Route:
    """Queues that match ``pattern`` (:mod:`fnmatch`, case matters) go to ``pool`` with ``profile`` ("" for none)."""

    pattern: str
    pool: str
    profile: str = ""

    def __str__(self) -> str:
        return f"{self.pattern}={self.pool}" + (f":{self.profile}" if self.profile else "")


class Routes:
    """An ordered table of routes; the first match wins, and the last one matches everything."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._find = lru_cache(maxsize=4096)(self._search)

    def find(self, queue: str) -> Route:
        """Return the route of ``queue``; there always is one."""
        return self._find(queue)

    @property
    def pools(self) -> tuple[str, ...]:
        """The pools that some queue may reach, in order of first mention."""
        return tuple(dict.fromkeys(route.pool for route in self.routes))

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles that routes name."""
        return tuple(dict.fromkeys(route.profile for route in self.routes if route.profile))

    def _search(self, queue: str) -> Route:
        return next(route for route in self.routes if fnmatchcase(queue, route.pattern))

    def __str__(self) -> str:
        return ", ".join(map(str, self.routes))


def parse_routes(text: str, *, profiles: Collection[str], option: str = "[hybrid_executor] routes") -> Routes:
    """Return the routes that ``text`` describes: ``pattern=pool[:profile]``, separated by commas.

    :param profiles: names of the profiles there are.
    :raises ConfigError: a part is malformed, names an unknown pool or profile, repeats a pattern or can never match, or
        no last ``*`` catches the rest; the message says what to write.
    """
    routes: list[Route] = []
    for part in filter(None, (part.strip() for part in re.split(r"[,\n]", text))):
        route = _parse_route(part, profiles=profiles, option=option)
        for earlier in routes:
            if earlier.pattern == route.pattern:
                raise ConfigError(f"{option}: the pattern {route.pattern!r} is there twice; remove one of them.")
            if _covers(earlier.pattern, route.pattern):
                raise ConfigError(
                    f"{option}: {str(route)!r} can never match, since {str(earlier)!r} before it takes all its queues; "
                    f"write it before {str(earlier)!r} or remove it."
                )
        routes.append(route)
    if not routes or routes[-1].pattern != "*":
        raise ConfigError(f"{option}: nothing catches the remaining queues; end with '*=celery' (or another pool).")
    return Routes(routes)


def _parse_route(part: str, *, profiles: Collection[str], option: str) -> Route:
    pattern, separator, target = (piece.strip() for piece in part.partition("="))
    if not separator or not pattern or not target:
        raise ConfigError(
            f"{option}: {part!r} is not a route; write pattern=pool or pattern=pool:profile ({_EXAMPLE})."
        )
    pool, separator, profile = (piece.strip() for piece in target.partition(":"))
    if pool not in POOLS:
        raise ConfigError(
            f"{option}: {part!r} names the pool {pool!r}, which there is not; write one of {_listed(POOLS)}."
        )
    if separator and not profile:
        raise ConfigError(f"{option}: {part!r} names no profile after the colon; write {pattern}={pool}.")
    if profile and pool != "kubernetes":
        raise ConfigError(f"{option}: {part!r} gives a profile to the pool {pool!r}; profiles are for kubernetes only.")
    if profile and profile not in profiles:
        known = (
            f"it has {_listed(profiles)}" if profiles else "there are no profiles; set [hybrid_executor] profiles_file"
        )
        raise ConfigError(
            f"{option}: {part!r} names the profile {profile!r}, which the profiles file has not: {known}."
        )
    return Route(pattern, pool, profile)


def _covers(earlier: str, later: str) -> bool:
    """Return whether ``earlier`` surely matches every queue that ``later`` does."""
    if earlier == "*":
        return True
    has_wildcard = any(sign in later for sign in "*?[")
    if not has_wildcard:
        return fnmatchcase(later, earlier)
    simple_prefix = earlier.endswith("*") and not any(sign in earlier[:-1] for sign in "*?[")
    return simple_prefix and later.startswith(earlier[:-1])


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
