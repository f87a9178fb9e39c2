"""What Airflow's configuration means for this executor. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from hybrid_executor.config.shape import shape_of
from hybrid_executor.doctor.findings import Finding, failure, ok, unknown, warning

OUR_PACKAGE = "airflow-hybrid-executor"
HERE = "this process"
_JWT = "api_auth.jwt_secret"
_FERNET = "core.fernet_key"


@dataclass(frozen=True, kw_only=True)
class ProviderFacts:
    """What one installed provider adds to Airflow."""

    package: str
    sections: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SecretFacts:
    """Who announces which fingerprints.

    :ivar set_here: the shared secrets that a person has set for this process, as ``section.option``.
    :ivar has_key_file: tokens are signed with ``[api_auth] jwt_private_key_path``.
    :ivar announced: fingerprints by secret, of each component by its name.
    :ivar agents: names of agents, which need no secret.
    """

    set_here: frozenset[str] = frozenset()
    has_key_file: bool = False
    announced: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    agents: frozenset[str] = frozenset()


def judge_executor(executor: str) -> list[Finding]:
    """Say whether ``[core] executor`` names this executor, and what it runs beside."""
    name = "executor"
    listed = [part.rpartition(":")[2].strip() for team in executor.split(";") for part in team.split(",")]
    if shape_of(executor) is None:
        ours = [path for path in listed if shape_of(path)]
        if ours:
            what = f"[core] executor = {executor}: tasks without executor= go to {listed[0]}, and not to {ours[0]}"
            return [warning(name, what, f"write {ours[0]} first")]
        return [
            failure(
                name,
                f"[core] executor = {executor or '(not set)'}: this executor does not run",
                "set [core] executor = hybrid_executor.HybridExecutor for scheduler and API server",
            )
        ]
    found = [ok(name, executor)]
    for other in listed[1:]:
        kind = other.rpartition(".")[2]
        if kind == "KubernetesExecutor" and not other.startswith("hybrid_executor."):
            what = f"{other} runs beside this one: its pods and ours share namespace, quota and nodes"
            found.append(warning(name, what, "leave it out: this executor runs its queues too (routes)"))
        if kind == "CeleryExecutor":
            what = f"{other} runs beside this one: if both use one broker, our workers get messages that they drop"
            found.append(warning(name, what, "leave it out: this executor runs its queues too (routes)"))
    return found


def judge_api(url: str, *, is_set: bool, answer: str) -> Finding:
    """Say whether the execution API answers.

    :param is_set: ``[core] execution_api_server_url`` or ``[api] base_url`` is set.
    :param answer: "" if it is healthy, else what came instead.
    """
    name = "execution API"
    option = "[core] execution_api_server_url"
    if not answer:
        return ok(name, f"{url} answers from here")
    where = f"{option} = {url}" if is_set else f"{url} (Airflow's default, since {option} is not set)"
    return failure(
        name,
        f"{where} does not answer from here: {answer}. A task that cannot reach it does not start",
        f"start the API server, or set {option} to its address, such as http://airflow-api-server:8080/execution/",
    )


def judge_teams(teams: Sequence[str], *, known: Collection[str] | None, trouble: str) -> list[Finding]:
    """Say whether the teams with this executor exist and share nothing.

    :param known: the teams in Airflow's database, ``None`` where it could not be asked.
    :param trouble: what two of them share, "" for nothing.
    """
    name = "teams"
    found = [failure(name, trouble, "change what is named; the scheduler does not start before")] if trouble else []
    if known is None:
        return [*found, unknown(name, "Airflow's database could not be asked which teams exist")]
    missing = [team for team in teams if team not in known]
    found += [
        failure(
            name,
            f"[core] executor names the team {team!r}, which does not exist, so the scheduler does not start",
            f"run airflow teams create {team}",
        )
        for team in missing
    ]
    return found or [ok(name, f"{_listed(teams)} have this executor" if teams else "no team has this executor")]


def judge_secrets(facts: SecretFacts) -> list[Finding]:
    """Say whether the secrets are set, and equal in all components."""
    announcers = {who for prints in facts.announced.values() for who in prints if who != HERE}
    found = []
    if not facts.has_key_file:
        found.append(_judge_set(facts, _JWT, is_fatal=True))
    found.append(_judge_set(facts, _FERNET, is_fatal=False))
    differing = [_judge_equal(name, prints, facts.agents) for name, prints in sorted(facts.announced.items())]
    found += [finding for finding in differing if finding is not None]
    if announcers and not any(differing):
        found.append(ok("secrets equal", f"no difference among {_listed(sorted({HERE, *announcers}))}"))
    if not announcers:
        found.append(unknown("secrets equal", "no scheduler, worker or agent has announced itself to compare with"))
    return found


def judge_providers(providers: Sequence[ProviderFacts], *, section: str, group: str) -> Finding:
    """Look for another provider with our section of the configuration or our group of commands."""
    name = "providers"
    clashes = [
        f"{provider.package} has {what} too"
        for provider in providers
        if provider.package != OUR_PACKAGE
        for what, names in (
            (f"section [{section}]", provider.sections),
            (f"the group 'airflow {group}'", provider.groups),
        )
        if (section if "section" in what else group) in names
    ]
    if clashes:
        cure = "uninstall it, or the older of two releases of this package"
        return failure(name, f"{'; '.join(clashes)}: only one of both is used", cure)
    if not any(provider.package == OUR_PACKAGE for provider in providers):
        what = f"Airflow does not find the provider {OUR_PACKAGE}, so defaults and commands may be missing"
        return warning(name, what, f"pip install {OUR_PACKAGE} into the environment that runs Airflow")
    return ok(name, f"none of the {len(providers)} installed providers clashes with this one")


def _judge_set(facts: SecretFacts, name: str, *, is_fatal: bool) -> Finding:
    section, _, option = name.partition(".")
    shown, others = f"[{section}] {option}", [who for who in facts.announced.get(name, {}) if who != HERE]
    if name in facts.set_here:
        return ok("secrets set", f"{shown} is set")
    variable = f"AIRFLOW__{section.upper()}__{option.upper()}"
    cure = f"set {shown} ({variable}) to the same value for schedulers, API servers and triggerers"
    if others:
        return ok("secrets set", f"{shown} is not set for this process, but for {_listed(others)}")
    if is_fatal:
        what = (
            f"{shown} is not set: each process generates its own, so the API server refuses the tokens of the "
            "scheduler's tasks"
        )
        return failure("secrets set", what, cure)
    what = f"{shown} is not set: connections and variables are not encrypted, or only one process can read them"
    return warning("secrets set", what, cure)


def _judge_equal(name: str, prints: Mapping[str, str], agents: frozenset[str]) -> Finding | None:
    """Return a finding where a secret differs between components, ``None`` where it does not."""
    section, _, option = name.partition(".")
    groups: dict[str, list[str]] = {}
    for who, text in sorted(prints.items()):
        groups.setdefault(text, []).append(who)
    if len(groups) < 2:
        return None
    told = "; ".join(f"{_listed(who)} ({text})" for text, who in groups.items())
    what = f"[{section}] {option} differs: {told}"
    cure = f"set [{section}] {option} to the same value everywhere, and restart what had another one"
    if len({text for who, text in prints.items() if who not in agents}) < 2:
        return warning("secrets equal", f"{what}. Agents do not use it", cure)
    return failure("secrets equal", what, cure)


def _listed(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
