"""Options that have no effect, because their name is misspelt or they stand in another section.

Promises: reads names only, never a value, and runs no command. An option that it does not know may be right in a
section of another provider, so there only names that resemble a known one are reported. Never stops a start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from configparser import RawConfigParser
from difflib import get_close_matches
from typing import Any

from hybrid_executor.config.celery_table import CELERY_OPTIONS
from hybrid_executor.config.kubernetes_table import KUBERNETES_OPTIONS
from hybrid_executor.config.table import CELERY_KUBERNETES_QUEUE, HYBRID_OPTIONS, LOCAL_KUBERNETES_QUEUE, SECTION
from hybrid_executor.config.teams import OWN_SECTIONS, our_teams

_TABLE = (*HYBRID_OPTIONS, *CELERY_OPTIONS, *KUBERNETES_OPTIONS, CELERY_KUBERNETES_QUEUE, LOCAL_KUBERNETES_QUEUE)
_FREE_SECTIONS = frozenset({"celery_broker_transport_options"})
"""Sections that accept any option, and hand it on."""

_RESEMBLES = 0.84
_VARIABLE = re.compile(r"AIRFLOW__(.+?)__(.+)\Z")
_OF_TEAM = re.compile(rf"AIRFLOW__(.+?)___({'|'.join(name.upper() for name in OWN_SECTIONS)})__(.+)\Z")
_TYPED_WRONG = re.compile(r"AIRFLOW_+HYBRID_EXECUTOR_+(.+)\Z")


def known_options() -> dict[str, frozenset[str]]:
    """Return the names of all options that this project reads, by section."""
    sections = {option.section for option in _TABLE} - _FREE_SECTIONS
    return {name: frozenset(o.name for o in _TABLE if o.section == name) for name in sorted(sections)}


def airflow_suspects() -> list[str]:
    """Return what :func:`find_suspects` finds in the configuration of this process."""
    from hybrid_executor.config.source import airflow_config

    config = airflow_config()
    return find_suspects(config.parser, teams=our_teams(config))


def warn_of_suspects(warn: Callable[..., object]) -> None:
    """Call a logger's ``warning`` for each option that has no effect."""
    for words in airflow_suspects():
        warn("%s", words)


def find_suspects(conf: Any, environment: Mapping[str, str] | None = None, *, teams: Iterable[str] = ()) -> list[str]:
    """Return a sentence for each option that has no effect.

    :param conf: Airflow's ``conf``; only what its file sets counts, and no default.
    :param environment: the variables of the process if missing.
    :param teams: those with an executor of this project.
    """
    variables = os.environ if environment is None else environment
    known = known_options()
    known_teams = {team.upper(): team for team in teams if team}
    found: list[str] = []
    for team, section, name, where in sorted({*_in_file(conf), *_in_environment(variables)}):
        words = _suspect(section, name, known)
        if not words and section == SECTION and team and team.upper() not in known_teams:
            words = _unknown_team(team, known_teams.values())
        if words:
            found.append(f"{where} has no effect: {words}")
    return found + sorted([*_without_form(variables, known), *_without_form_of_team(variables, known, known_teams)])


def _in_file(conf: Any) -> Iterator[tuple[str, str, str, str]]:
    """Return team, section, name and the way in which each option is written; a team's section is [TEAM=SECTION]."""
    for section in RawConfigParser.sections(conf):
        team, _, plain = section.rpartition("=")
        for name in RawConfigParser.options(conf, section):
            yield team, plain, name, f"[{section}] {name}"


def _in_environment(variables: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    for variable in variables:
        if match := _OF_TEAM.match(variable):
            yield match[1].lower(), match[2].lower(), match[3].lower(), variable
        elif match := _VARIABLE.match(variable):
            yield "", match[1].lower(), match[2].lower(), variable


def _unknown_team(team: str, teams: Iterable[str]) -> str:
    names = sorted(teams)
    if not names:
        return (
            f"no team has this executor. Write '{team}=hybrid_executor.HybridExecutor' in [core] executor, and set "
            "[core] multi_team = True."
        )
    return f"the team {team!r} has no executor of this project in [core] executor. Teams with one: {', '.join(names)}."


def _suspect(section: str, name: str, known: Mapping[str, frozenset[str]]) -> str:
    """Return what is wrong with an option in sentences, "" for nothing."""
    plain = name.removesuffix("_cmd").removesuffix("_secret")
    if section not in known:
        is_close = get_close_matches(section, [SECTION], cutoff=_RESEMBLES)
        return f"there is no section [{section}]. Did you mean [{SECTION}]?" if is_close else ""
    if {name, plain} & known[section]:
        return ""
    if section != SECTION:
        if plain in known[SECTION]:
            return f"it is an option of [{SECTION}]. Write it there."
        likely = get_close_matches(plain, sorted(known[section]), n=1, cutoff=_RESEMBLES)
        return f"there is no such option. Did you mean {likely[0]}?" if likely else ""
    elsewhere = next((other for other in known if plain in known[other]), "")
    if elsewhere:
        return f"it is an option of [{elsewhere}]. Write it there."
    likely = get_close_matches(plain, sorted(known[section]), n=1)
    if likely:
        return f"there is no such option. Did you mean {likely[0]}?"
    return f"there is no such option. 'airflow config list --section {SECTION}' shows all."


def _without_form(variables: Mapping[str, str], known: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """Find variables of our section with the wrong number of underscores."""
    for variable in variables:
        match = _TYPED_WRONG.match(variable)
        if match is None or variable.startswith(f"AIRFLOW__{SECTION.upper()}__"):
            continue
        option = match[1].lower().removesuffix("_cmd").removesuffix("_secret")
        if option in known[SECTION]:
            right = f"AIRFLOW__{SECTION.upper()}__{match[1]}"
            yield f"{variable} has no effect: write {right}, with two underscores after AIRFLOW and after the section."


def _without_form_of_team(
    variables: Mapping[str, str], known: Mapping[str, frozenset[str]], teams: Iterable[str]
) -> Iterator[str]:
    """Find variables of our section for a team with the wrong number of underscores."""
    for team in teams:
        typed = re.compile(rf"AIRFLOW_+{re.escape(team)}_+{SECTION.upper()}_+(.+)\Z")
        for variable in variables:
            match = typed.match(variable)
            option = match[1].lower().removesuffix("_cmd").removesuffix("_secret") if match else ""
            right = f"AIRFLOW__{team}___{SECTION.upper()}__{option.upper()}"
            if option in known[SECTION] and not variable.startswith(right):
                yield f"{variable} has no effect: write {right}, with three underscores after the team."
