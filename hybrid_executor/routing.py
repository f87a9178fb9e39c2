"""Routes: the pool and the profile of each queue. Pure; checked once when a process starts."""

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
        """Return the route of ``queue``; every queue has one."""
        return self._find(queue)

    @property
    def pools(self) -> tuple[str, ...]:
        """The pools of all routes, in the order of the routes."""
        return tuple(dict.fromkeys(route.pool for route in self.routes))

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles of all routes."""
        return tuple(dict.fromkeys(route.profile for route in self.routes if route.profile))

    def _search(self, queue: str) -> Route:
        return next(route for route in self.routes if fnmatchcase(queue, route.pattern))

    def __str__(self) -> str:
        return ", ".join(map(str, self.routes))


def parse_routes(text: str, *, profiles: Collection[str], option: str = "[hybrid_executor] routes") -> Routes:
    """Return the routes that ``text`` describes: ``pattern=pool[:profile]``, separated by commas.

    :param profiles: names of the known profiles.
    :raises ConfigError: a route is malformed, has an unknown pool or profile, repeats a pattern or can never match, or
        the last pattern is not ``*``; the message says what to write.
    """
    routes: list[Route] = []
    for part in filter(None, (part.strip() for part in re.split(r"[,\n]", text))):
        route = _parse_route(part, profiles=profiles, option=option)
        for earlier in routes:
            if earlier.pattern == route.pattern:
                raise ConfigError(f"{option}: the pattern {route.pattern!r} appears twice; remove one of them.")
            if _covers(earlier.pattern, route.pattern):
                raise ConfigError(
                    f"{option}: {str(route)!r} can never match, because {str(earlier)!r} matches all its queues first; "
                    f"write it before {str(earlier)!r} or remove it."
                )
        routes.append(route)
    if not routes or routes[-1].pattern != "*":
        raise ConfigError(f"{option}: the remaining queues have no pool; add '*=celery' (or another pool) at the end.")
    return Routes(routes)


def _parse_route(part: str, *, profiles: Collection[str], option: str) -> Route:
    pattern, separator, target = (piece.strip() for piece in part.partition("="))
    if not separator or not pattern or not target:
        raise ConfigError(
            f"{option}: {part!r} is not a route; write pattern=pool or pattern=pool:profile ({_EXAMPLE})."
        )
    pool, separator, profile = (piece.strip() for piece in target.partition(":"))
    if pool not in POOLS:
        raise ConfigError(f"{option}: unknown pool {pool!r} in {part!r}; write one of {_listed(POOLS)}.")
    if separator and not profile:
        raise ConfigError(f"{option}: {part!r} has no profile after the colon; write {pattern}={pool}.")
    if profile and pool != "kubernetes":
        raise ConfigError(
            f"{option}: {part!r} has a profile for the pool {pool!r}; only the pool kubernetes has profiles."
        )
    if profile and profile not in profiles:
        known = (
            f"write one of {_listed(profiles)}, or add it to [hybrid_executor] profiles_file"
            if profiles
            else "set [hybrid_executor] profiles_file to a file that has it"
        )
        raise ConfigError(f"{option}: unknown profile {profile!r} in {part!r}; {known}.")
    return Route(pattern, pool, profile)


def _covers(earlier: str, later: str) -> bool:
    """Return whether ``earlier`` certainly matches every queue that ``later`` matches."""
    if earlier == "*":
        return True
    has_wildcard = any(sign in later for sign in "*?[")
    if not has_wildcard:
        return fnmatchcase(later, earlier)
    simple_prefix = earlier.endswith("*") and not any(sign in earlier[:-1] for sign in "*?[")
    return simple_prefix and later.startswith(earlier[:-1])


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
