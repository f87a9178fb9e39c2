"""Executors of one Airflow that must not share anything: those of all teams and those of each team."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from hybrid_executor.config.options import ConfigSource
from hybrid_executor.config.settings import Settings, read_settings
from hybrid_executor.config.shape import shape_of
from hybrid_executor.config.teams import read_executors, section_of
from hybrid_executor.errors import ConfigError

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Own:
    team: str
    settings: Settings

    def __str__(self) -> str:
        return f"the team {self.team!r}" if self.team else "all teams"

    def option(self, section: str, name: str) -> str:
        return f"[{section_of(self.team, section)}] {name}"


def check_apart(conf_of: Callable[[str], ConfigSource]) -> None:
    """Make sure that no two executors of this project use the same names or the same queues.

    A team whose settings are wrong is left out: its own executor says what is wrong.

    :param conf_of: returns the configuration of a team; of all teams for "".
    :raises ConfigError: two of them do.
    """
    entries = [entry for entry in read_executors(conf_of("")) if entry.is_ours]
    paths = defaultdict(list)
    for entry in entries:
        paths[entry.team].append(entry.path)
    for team, listed in paths.items():
        if len(listed) > 1:
            raise ConfigError(
                f"[core] executor names {' and '.join(listed)} for {f'the team {team!r}' if team else 'all teams'}. "
                "They would use the same Redis keys: name one of them. One HybridExecutor can send tasks to workers "
                "and to pods ([hybrid_executor] routes)."
            )
    if len(entries) < 2:
        return
    owns = []
    for entry in entries:
        try:
            own = read_settings(conf_of(entry.team), shape=shape_of(entry.path) or "hybrid")
        except ConfigError as error:
            log.debug("The settings of team %r are not compared with those of others: %s", entry.team, error)
            continue
        owns.append(_Own(team=entry.team, settings=own))
    for one, other in _pairs(owns, lambda own: own.settings.instance):
        raise ConfigError(
            f"{one.option('hybrid_executor', 'instance')} and {other.option('hybrid_executor', 'instance')} are both "
            f"{one.settings.instance!r}, so {one} and {other} would share Redis keys and pods: give each another "
            "instance. Unset, that of a team is airflow-TEAM."
        )
    with_workers = [own for own in owns if "celery" in own.settings.routes.pools and own.settings.broker.url]
    for one, other in _pairs(with_workers, lambda own: own.settings.broker.place):
        raise ConfigError(
            f"{one} and {other} have the same Celery broker, so workers of one would take the tasks of the other: "
            f"set {other.option('celery', 'broker_url')} to another Redis database or virtual host"
            + (
                f", or {other.option('celery_broker_transport_options', 'global_keyprefix')} to another prefix. "
                "Unset, the prefix of a team is its instance."
                if one.settings.broker.is_redis
                else "."
            )
        )


def _pairs(owns: Iterable[_Own], key: Callable[[_Own], Hashable]) -> Iterable[tuple[_Own, _Own]]:
    first: dict[Hashable, _Own] = {}
    for own in owns:
        if key(own) in first:
            yield first[key(own)], own
        first.setdefault(key(own), own)
