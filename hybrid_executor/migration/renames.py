"""Options about executors that have another place in Airflow 3, or none. Each change keeps what the option did. Pure.

The facts are those of Airflow's own table of changes (``airflow config lint``), and for sections of Airflow 1 and early
2 those of its documentation of removed options. Options that have nothing to do with executors are left to ``airflow
config update``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hybrid_executor.migration.configuration import Configuration
from hybrid_executor.migration.finding import Finding

LINT = "airflow config lint"
_DEFAULT_TIMEOUT = "600"


@dataclass(frozen=True)
class Rename:
    """An option that moved. Airflow 3 does not read the old name."""

    section: str
    name: str
    new_section: str
    new_name: str


RENAMES = (
    Rename("celery", "default_queue", "operators", "default_queue"),
    Rename("celery", "stalled_task_timeout", "scheduler", "task_queued_timeout"),
    Rename("celery", "task_adoption_timeout", "scheduler", "task_queued_timeout"),
    Rename("celery", "worker_log_server_port", "logging", "worker_log_server_port"),
    Rename("kubernetes_executor", "worker_pods_pending_timeout", "scheduler", "task_queued_timeout"),
    Rename(
        "kubernetes_executor",
        "worker_pods_pending_timeout_check_interval",
        "scheduler",
        "task_queued_timeout_check_interval",
    ),
)
POD_SECTIONS = {
    "kubernetes_annotations": "metadata.annotations",
    "kubernetes_environment_variables": "env of the container base",
    "kubernetes_labels": "metadata.labels",
    "kubernetes_node_selectors": "spec.nodeSelector",
    "kubernetes_secrets": "env of the container base, with valueFrom",
    "kubernetes_affinity": "spec.affinity",
    "kubernetes_tolerations": "spec.tolerations",
}
_OLD_CELERY_CONFIG = "airflow.config_templates.default_celery"
_REFUSED_POOLS = ("solo", "threads", "eventlet", "gevent")


def move_options(configuration: Configuration) -> tuple[Configuration, list[Finding]]:
    """Return the configuration with the options that moved in their new places, and what was done."""
    changed, findings = _rename_kubernetes_section(configuration)
    for rename in RENAMES:
        value = changed.get(rename.section, rename.name)
        if value is None or value.strip() == "":
            continue
        changed, finding = _move(changed, rename, value)
        findings.append(finding)
    for section, place in POD_SECTIONS.items():
        if names := configuration.sections().get(section):
            findings.append(
                Finding(
                    kind="gone",
                    subject=f"[{section}]",
                    what=f"the section with {', '.join(sorted(names))} is not read",
                    instead=f"write these values into the pod template: {place}",
                    why="Airflow 2 removed it; pods are described by the template",
                    documented="docs/pods.md",
                )
            )
    return changed, findings


def correct_values(configuration: Configuration) -> tuple[Configuration, list[Finding]]:
    """Return the configuration without values that workers refuse or cannot import."""
    changed, findings = configuration, []
    path = changed.get("celery", "celery_config_options") or ""
    if path.startswith(_OLD_CELERY_CONFIG):
        changed = changed.unset("celery", "celery_config_options")
        findings.append(
            Finding(
                kind="change",
                subject="[celery] celery_config_options",
                what=f"{path} does not exist in Airflow 3",
                instead="remove the option",
                why="it held the default settings, which are built in here",
                documented="docs/configuration.md#celery",
            )
        )
    pool = (changed.get("celery", "pool") or "").strip()
    if pool in _REFUSED_POOLS:
        changed = changed.set("celery", "pool", "prefork")
        one = pool == "solo" and changed.get("celery", "worker_concurrency") != "1"
        changed = changed.set("celery", "worker_concurrency", "1") if one else changed
        findings.append(
            Finding(
                kind="change",
                subject="[celery] pool",
                what=f"workers refuse the pool {pool}",
                instead="pool = prefork" + (" and worker_concurrency = 1" if one else ""),
                why="Airflow 3 supervises each task in its own process and uses the signals of that process",
                documented="docs/workers.md",
            )
        )
    return changed, findings


def _rename_kubernetes_section(configuration: Configuration) -> tuple[Configuration, list[Finding]]:
    old, new = "kubernetes", "kubernetes_executor"
    options = configuration.sections().get(old)
    if not options:
        return configuration, []
    changed = configuration
    file = changed.file
    if file and new not in file.sections and old in file.sections and not _in_environment(changed, old):
        changed = replace(changed, file=file.with_section_named(old, new))
    else:
        for name, value in options.items():
            if not changed.place_of(new, name):
                changed = changed.set(new, name, value)
            changed = changed.unset(old, name)
    return changed, [
        Finding(
            kind="change",
            subject=f"[{old}]",
            what=f"Airflow 3 does not read this section ({', '.join(sorted(options))})",
            instead=f"name it [{new}]",
            why="it has had this name since Airflow 2.5",
            documented="docs/configuration.md#kubernetes_executor",
        )
    ]


def _in_environment(configuration: Configuration, section: str) -> bool:
    return any(name.startswith(f"AIRFLOW__{section.upper()}__") for name in configuration.variables)


def _move(configuration: Configuration, rename: Rename, value: str) -> tuple[Configuration, Finding]:
    new = f"[{rename.new_section}] {rename.new_name}"
    there = configuration.get(rename.new_section, rename.new_name)
    is_timeout = rename.new_name == "task_queued_timeout"
    is_longer = is_timeout and there is not None and _seconds(value) > _seconds(there)
    # Airflow writes its defaults into the files that it generates; a longer time was somebody's decision.
    is_decided = there is None or is_longer or (rename.name == "default_queue" and there in ("", "default"))
    changed = configuration.set(rename.new_section, rename.new_name, value) if is_decided else configuration
    changed = changed.unset(rename.section, rename.name)
    return changed, Finding(
        kind="change",
        subject=f"[{rename.section}] {rename.name}",
        what="Airflow 3 does not read it",
        instead=f"{new} = {value}" if is_decided else f"remove it; {new} = {there} is set already",
        why="it was renamed",
        documented=LINT,
    )


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float(_DEFAULT_TIMEOUT)


def check_login(configuration: Configuration) -> list[Finding]:
    """Return a finding if the login needs a package that Airflow 3 does not bring."""
    manager = configuration.get("core", "auth_manager") or ""
    if not manager.startswith("airflow.providers.fab."):
        return []
    return [
        Finding(
            kind="check",
            subject="[core] auth_manager",
            what=f"{manager} is not part of Airflow 3, which does not start without it",
            instead="install apache-airflow-providers-fab, or remove the option",
            why="Airflow 2.10 writes it into every airflow.cfg",
            documented=LINT,
        )
    ]


def further_options(configuration: Configuration, changes: Iterable[tuple[str, str]]) -> list[Finding]:
    """Return a finding about options of Airflow 2 that have nothing to do with executors; nothing if there are none.

    :param changes: the options in Airflow's own table of changes.
    """
    ours = {(rename.section, rename.name) for rename in RENAMES} | {("core", "executor")}
    options = configuration.sections()
    found = sorted({(section, name) for section, name in changes if name in options.get(section, {})} - ours)
    if not found:
        return []
    first = ", ".join(f"[{section}] {name}" for section, name in found[:3])
    return [
        Finding(
            kind="check",
            subject=f"{len(found)} options of Airflow 2",
            what=f"{first}{', ...' if len(found) > 3 else ''}: renamed or removed in Airflow 3, not about executors",
            instead="run 'airflow config lint', then 'airflow config update' (with --fix it writes the file, without "
            "its comments)",
            why="Airflow has its own commands for them",
            documented=LINT,
        )
    ]
