"""Routes: where the work of each queue goes, and on which conditions. Pure; checked once when a process starts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache

from hybrid_executor.errors import ConfigError
from hybrid_executor.targets import Target, parse_target, place_name, split_outside_brackets

_EXAMPLE = "kubernetes=kubernetes, gpu-*=kubernetes:gpu, *=celery"


@dataclass(frozen=True)
class Route:
    """Queues that match ``pattern`` (:mod:`fnmatch`, case matters) go to the first of ``targets`` that takes them.

    :ivar targets: at least one; no two have the same name.
    """

    pattern: str
    targets: tuple[Target, ...]

    @property
    def pool(self) -> str:
        """The pool of the first target."""
        return self.targets[0].pool

    @property
    def profile(self) -> str:
        """The profile of the first target, "" for none."""
        return self.targets[0].profile

    @cached_property
    def is_elastic(self) -> bool:
        """There is more than one target, or a condition: it matters on which target an attempt is."""
        return len(self.targets) > 1 or bool(self.targets[0].conditions)

    @cached_property
    def asks_for_tries(self) -> bool:
        """Some target takes only some tries of a task."""
        return any(target.tries is not None for target in self.targets)

    def reaches(self, pool: str) -> bool:
        """Return whether some target is in this pool."""
        return any(target.pool == pool for target in self.targets)

    def find(self, name: str) -> Target | None:
        """Return the target of this name, ``None`` where the route has none, such as after a change of the routes."""
        return next((target for target in self.targets if target.name == name), None)

    def after(self, name: str) -> tuple[Target, ...]:
        """Return the targets behind the one of this name; all of them where the route has no such target."""
        names = [target.name for target in self.targets]
        return self.targets[names.index(name) + 1 :] if name in names else self.targets

    def place(self, target: Target) -> str:
        """Return the name under which attempts of this route on this target are counted, "" where they are not."""
        return place_name(self.pattern, target.name) if self.is_elastic else ""

    def __str__(self) -> str:
        return f"{self.pattern}={' > '.join(map(str, self.targets))}"


class Routes:
    """An ordered table of routes; the first match wins, and the last one matches everything."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._find = lru_cache(maxsize=4096)(self._search)

    def find(self, queue: str) -> Route:
        """Return the route of ``queue``; every queue has one."""
        return self._find(queue)

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets of all routes, in their order."""
        return tuple(target for route in self.routes for target in route.targets)

    @property
    def pools(self) -> tuple[str, ...]:
        """The pools of all targets, in the order of the routes."""
        return tuple(dict.fromkeys(target.pool for target in self.targets))

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles of all targets."""
        return tuple(dict.fromkeys(target.profile for target in self.targets if target.profile))

    def _search(self, queue: str) -> Route:
        return next(route for route in self.routes if fnmatchcase(queue, route.pattern))

    def __str__(self) -> str:
        return ", ".join(map(str, self.routes))


def parse_routes(text: str, *, profiles: Collection[str], option: str = "[hybrid_executor] routes") -> Routes:
    """Return the routes that ``text`` describes, separated by commas or by lines.

    A route is ``pattern = target > target > ...``, a target ``pool[:profile][(condition, ...)]``; see
    :func:`~hybrid_executor.targets.parse_target`.

    :param profiles: names of the known profiles.
    :raises ConfigError: a route is malformed, has an unknown pool, profile or condition, repeats a pattern or can never
        match, or the last pattern is not ``*``; the message says what to write.
    """
    routes: list[Route] = []
    for part in split_outside_brackets(text, ",\n", option=option):
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
    pattern, separator, chain = (piece.strip() for piece in part.partition("="))
    if not separator or not pattern or not chain:
        raise ConfigError(
            f"{option}: {part!r} is not a route; write pattern=pool or pattern=pool:profile ({_EXAMPLE})."
        )
    pieces = chain.split(">")
    if not all(piece.strip() for piece in pieces):
        raise ConfigError(
            f"{option}: {part!r} has an empty target; write a target on both sides of each '>', such as "
            f"{pattern}=celery > kubernetes."
        )
    targets: list[Target] = []
    for place, piece in enumerate(pieces):
        is_last = place == len(pieces) - 1
        target = parse_target(piece.strip(), route=part, is_last=is_last, profiles=profiles, option=option)
        if any(earlier.name == target.name for earlier in targets):
            raise ConfigError(f"{option}: the target {target.name} appears twice in {part!r}; remove one of them.")
        targets.append(target)
    return Route(pattern, tuple(targets))


def _covers(earlier: str, later: str) -> bool:
    """Return whether ``earlier`` certainly matches every queue that ``later`` matches."""
    if earlier == "*":
        return True
    has_wildcard = any(sign in later for sign in "*?[")
    if not has_wildcard:
        return fnmatchcase(later, earlier)
    simple_prefix = earlier.endswith("*") and not any(sign in earlier[:-1] for sign in "*?[")
    return simple_prefix and later.startswith(earlier[:-1])
