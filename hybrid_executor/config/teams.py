"""Teams of Airflow's multi-team mode: whose configuration is read, and how its options are written.

With ``[core] executor = LocalExecutor;red=hybrid_executor.HybridExecutor`` the team ``red`` has an executor of its own.
Airflow reads the options of a team from sections such as ``[red=hybrid_executor]`` and variables such as
``AIRFLOW__RED___HYBRID_EXECUTOR__ROUTES``.

Promises: nothing here depends on Airflow's database. A wrong team is one ConfigError that says what to write.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches

from hybrid_executor.config import table
from hybrid_executor.config.options import ConfigSource, Option
from hybrid_executor.errors import ConfigError

VARIABLE = "HYBRID_EXECUTOR_TEAM"
"""The environment variable with the team of a command, an agent or a worker. ``--team`` sets it."""

OWN_SECTIONS = (
    "hybrid_executor",
    "celery",
    "celery_broker_transport_options",
    "celery_kubernetes_executor",
    "kubernetes_executor",
    "local_kubernetes_executor",
)
"""The sections of executors. A team reads only its own values of them, as Airflow prescribes: what is set for all does
not reach a team, so a team cannot get the login of another."""

_MULTI_TEAM = Option(
    section="core", name="multi_team", type="bool", default="False", description="Airflow's multi-team mode."
)
_SECTION = re.compile(rf"\[({'|'.join(OWN_SECTIONS)})\]")
_ENVIRONMENT = re.compile(rf"AIRFLOW__({'|'.join(name.upper() for name in OWN_SECTIONS)})__")
_COMMAND = re.compile(r"\bairflow hybrid ([a-z][a-z-]*)")
_WITHOUT_TEAM = frozenset({"standalone", "demo", "sandbox", "migrate"})


@dataclass(frozen=True, kw_only=True)
class ExecutorEntry:
    """One executor of ``[core] executor``.

    :ivar team: "" for an executor of all teams.
    :ivar alias: "" for none.
    :ivar path: the import path, or a name such as ``LocalExecutor``.
    """

    team: str
    alias: str
    path: str

    @property
    def is_ours(self) -> bool:
        """It is an executor of this project."""
        return self.path.startswith("hybrid_executor.")

    @property
    def names(self) -> frozenset[str]:
        """What a task may write as its ``executor``."""
        return frozenset(name for name in (self.alias, self.path, self.path.rpartition(".")[2]) if name)


def parse_executors(text: str) -> list[ExecutorEntry]:
    """Return the entries of ``[core] executor`` in their order. Pure.

    Says nothing about entries that are wrong: Airflow refuses them when it starts.
    """
    entries = []
    for part in text.split(";"):
        team, sign, names = part.rpartition("=")
        for name in names.split(","):
            alias, _, path = name.strip().rpartition(":")
            if path:
                entries.append(ExecutorEntry(team=team.strip() if sign else "", alias=alias, path=path))
    return entries


def read_executors(conf: ConfigSource) -> list[ExecutorEntry]:
    """Return the entries of ``[core] executor`` that Airflow uses: none of teams while ``multi_team`` is off."""
    entries = parse_executors(str(conf.get("core", "executor", fallback="") or ""))
    return entries if is_multi_team(conf) else [entry for entry in entries if not entry.team]


def is_multi_team(conf: ConfigSource) -> bool:
    """Return whether Airflow runs in its multi-team mode."""
    return bool(_MULTI_TEAM.read(conf))


def our_teams(conf: ConfigSource) -> list[str]:
    """Return the teams with an executor of this project, in the order of ``[core] executor``; "" for all teams."""
    return list(dict.fromkeys(entry.team for entry in read_executors(conf) if entry.is_ours))


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which tasks Airflow gives to one executor in its multi-team mode.

    :ivar team: whose executor it is, "" for all teams.
    :ivar is_default: it gets the tasks of its team, or of all teams, that name no executor.
    :ivar names: what a task may write to get this executor. Airflow looks for an executor of all teams first.
    :ivar teams: the teams with executors of their own.
    """

    team: str
    is_default: bool
    names: frozenset[str]
    teams: frozenset[str]

    def may_get(self, team: str, *, executor: str) -> bool:
        """Return whether a task of a Dag of a team is this executor's, or named an executor that nobody has.

        :param team: of the Dag, "" for none. :param executor: what the task names, "" for nothing.
        """
        if self.team:
            return team == self.team
        return executor in self.names if team in self.teams else True


def read_share(conf: ConfigSource) -> Share | None:
    """Return which tasks the executor of this configuration gets; ``None`` outside of the multi-team mode."""
    if not is_multi_team(conf):
        return None
    entries = read_executors(conf)
    own = [entry for entry in entries if entry.team == conf.team]
    ours = next((entry for entry in own if entry.is_ours), None)
    names = ours.names if ours else frozenset[str]()
    if conf.team:
        names -= frozenset(name for entry in entries if not entry.team for name in entry.names)
    return Share(
        team=conf.team,
        is_default=bool(own) and own[0] is ours,
        names=names,
        teams=frozenset(entry.team for entry in entries if entry.team),
    )


def check_team(conf: ConfigSource, team: str) -> None:
    """Make sure that a team has an executor of this project.

    :param team: "" for none: then this project's executor of all teams is meant.
    :raises ConfigError: it has none, or Airflow does not run in its multi-team mode.
    """
    if not team:
        _check_global(conf)
        return
    if not is_multi_team(conf):
        raise ConfigError(
            f"The team {team!r} is given, but Airflow does not run in its multi-team mode: set [core] multi_team = "
            "True (AIRFLOW__CORE__MULTI_TEAM), or give no team."
        )
    teams = [known for known in our_teams(conf) if known]
    if team in teams:
        return
    likely = get_close_matches(team, teams, n=1)
    others = [entry.path for entry in read_executors(conf) if entry.team == team]
    if others:
        raise ConfigError(
            f"The team {team!r} has another executor ({', '.join(others)}): write "
            f"'{team}=hybrid_executor.HybridExecutor' in [core] executor, as on the schedulers."
        )
    raise ConfigError(
        f"[core] executor names no team {team!r}. "
        + (f"Did you mean {likely[0]}? " if likely else "")
        + (f"Its teams with this executor are {', '.join(teams)}. " if teams else "")
        + f"Add ';{team}=hybrid_executor.HybridExecutor' to [core] executor here as on the schedulers, and create the "
        f"team with: airflow teams create {team}"
    )


def _check_global(conf: ConfigSource) -> None:
    teams = our_teams(conf)
    if teams and "" not in teams:
        raise ConfigError(
            f"[core] executor has this executor only for teams: give --team NAME. The teams are {', '.join(teams)}."
        )


def read_instance(conf: ConfigSource) -> str:
    """Return the name of a deployment in keys and labels. That of a team differs from all others unless it is set."""
    option = table.INSTANCE
    own = replace(option, default=f"{option.default}-{conf.team}") if conf.team else option
    return str(own.read(conf))


def process_team(environment: Mapping[str, str] | None = None) -> str:
    """Return the team of this process, "" for none. Only commands, agents and workers have one."""
    return (os.environ if environment is None else environment).get(VARIABLE, "").strip()


def section_of(team: str, section: str) -> str:
    """Return the name of a section in the configuration file, as Airflow reads it for a team."""
    return f"{team}={section}" if team and section in OWN_SECTIONS else section


def team_prefix(team: str, section: str) -> str:
    """Return what stands before a section's name in the names of a team's environment variables."""
    return f"{team.upper()}___" if team and section in OWN_SECTIONS else ""


def in_words_of(team: str, text: str) -> str:
    """Return a message about a team's configuration with the options, variables and commands as a person writes them.

    ``[hybrid_executor] routes`` becomes ``[red=hybrid_executor] routes``, and ``airflow hybrid worker`` gets
    ``--team red``. A message without them, and one for no team, stays as it is.
    """
    if not team:
        return text
    text = _SECTION.sub(lambda found: f"[{team}={found[1]}]", text)
    text = _ENVIRONMENT.sub(lambda found: f"AIRFLOW__{team.upper()}___{found[1]}__", text)
    return _COMMAND.sub(lambda found: _with_team(found, team), text)


def _with_team(found: re.Match[str], team: str) -> str:
    is_done = found.string[found.end() :].startswith(f" --team {team}")
    return found[0] if is_done or found[1] in _WITHOUT_TEAM else f"{found[0]} --team {team}"


@contextmanager
def words_of(team: str) -> Iterator[None]:
    """Let a ConfigError of this block name the options as they are written for a team."""
    try:
        yield
    except ConfigError as error:
        if not team:
            raise
        told = in_words_of(team, str(error))
        raise ConfigError(told if f"{team!r}" in told else f"Team {team!r}: {told}") from error
