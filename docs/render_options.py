"""Writes what is made from the tables of options: ``conf/airflow.cfg`` and ``docs/configuration.md``.

Run it with ``python docs/render_options.py`` after a table has changed; a test holds both files to it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from hybrid_executor.config.celery_table import CELERY_OPTIONS
from hybrid_executor.config.kubernetes import KUBERNETES_OPTIONS
from hybrid_executor.config.options import Option
from hybrid_executor.config.table import HYBRID_OPTIONS

ROOT = Path(__file__).resolve().parents[1]

_CFG_HEAD = """\
# A starting point for Airflow with the hybrid executor; made by docs/render_options.py.
# What is commented out stands at its default. Every option can be set by environment variable instead:
# AIRFLOW__HYBRID_EXECUTOR__ROUTES and so on.

[core]
# HybridExecutor: by queue to Celery workers or pods. KubernetesExecutor: every queue to pods.
# LocalKubernetesExecutor: pods or the scheduler's own processes.
executor = hybrid_executor.HybridExecutor

[hybrid_executor]
"""

_CFG_TAIL = """
# [celery], [celery_broker_transport_options] and [kubernetes_executor] are read as they stand in an existing
# deployment.
"""

_DOC_HEAD = """\
# Configuration

Made by `docs/render_options.py` from the tables in `hybrid_executor/config/`.

Every option can be set in `airflow.cfg` or as an environment variable, `AIRFLOW__SECTION__OPTION`. A value that is
wrong stops the process when it starts, with the option's name and what to write.

## Routes

    [hybrid_executor]
    routes = kubernetes=kubernetes, gpu-*=kubernetes:gpu, *=celery
    profiles_file = /etc/airflow/profiles.yaml

The first pattern that matches a task's queue decides; the last one must be `*`. A target is a pool (`celery`,
`kubernetes`, `local`) or a pool with a profile. `airflow hybrid routes QUEUE...` shows where queues go and why.
With no `routes`, `kubernetes_queue` of `[celery_kubernetes_executor]` (or `[local_kubernetes_executor]`) goes to
kubernetes and the rest to celery (or local).

A profile is a named set of pod settings; `conf/profiles.yaml` explains its keys. What a pod is made from, later wins:
pod template, profile, the task's `executor_config`, `pod_mutation_hook`.
"""


def render_cfg() -> str:
    """Return ``conf/airflow.cfg``."""
    return _CFG_HEAD + "\n".join(_render_cfg_option(option) for option in HYBRID_OPTIONS) + _CFG_TAIL


def render_docs() -> str:
    """Return ``docs/configuration.md``."""
    return "\n".join(
        (
            _DOC_HEAD,
            _render_section("hybrid_executor", HYBRID_OPTIONS, "The only section of our own."),
            _render_section("celery", CELERY_OPTIONS, "Read as it stands. Options that are not listed are ignored."),
            _render_section("kubernetes_executor", KUBERNETES_OPTIONS, "Read as it stands."),
        )
    )


def _render_cfg_option(option: Option) -> str:
    text = option.description + (f" Unit: {option.unit}." if option.unit else "")
    lines = textwrap.wrap(text, width=116)
    return "\n".join([*(f"# {line}" for line in lines), f"# {option.name} = {option.default}".rstrip()]) + "\n"


def _render_section(name: str, options: Sequence[Option], about: str) -> str:
    rows = [f"| `{option.name}` | {_default(option)} | {_describe(option)} |" for option in options]
    return "\n".join(
        (f"## [{name}]", "", about, "", "| option | default | what it is for |", "|---|---|---|", *rows, "")
    )


def _default(option: Option) -> str:
    shown = option.default.replace("|", "\\|")
    return f"`{shown}`" if shown else ""


def _describe(option: Option) -> str:
    words = [option.description]
    if option.allowed:
        words.append("One of " + ", ".join(f"`{value}`" for value in option.allowed) + ".")
    if option.unit:
        words.append(f"Unit: {option.unit}.")
    if option.sensitive:
        words.append("May hold a password: `_cmd` and `_secret` work too.")
    return " ".join(words).replace("|", "\\|")


def main() -> None:
    """Write both files."""
    (ROOT / "conf" / "airflow.cfg").write_text(render_cfg(), encoding="utf-8")
    (ROOT / "docs" / "configuration.md").write_text(render_docs(), encoding="utf-8")


if __name__ == "__main__":
    main()
