"""Writes ``conf/airflow.cfg`` and ``docs/configuration.md`` from the tables of options.

Run ``python docs/render_options.py`` after you change a table. A test checks that both files are up to date.
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
# An example configuration for Airflow with the hybrid executor. Made by docs/render_options.py.
# Options that are commented out show their defaults. Each option can also be set with an environment variable, such as
# AIRFLOW__HYBRID_EXECUTOR__ROUTES.

[core]
# HybridExecutor: the queue decides between Celery workers and pods.
# KubernetesExecutor: all tasks run in pods.
# LocalKubernetesExecutor: the queue decides between pods and local processes of the scheduler.
executor = hybrid_executor.HybridExecutor

[scheduler]
# The executor waits for the end of a task instead; see event_wait below.
scheduler_idle_sleep_time = 0

[hybrid_executor]
"""

_CFG_TAIL = """
# The sections [celery], [celery_broker_transport_options] and [kubernetes_executor] of an existing deployment are used
# unchanged.
"""

_DOC_HEAD = """\
# Configuration

Made by `docs/render_options.py` from the tables in `hybrid_executor/config/`.

Set an option in `airflow.cfg` or with the environment variable `AIRFLOW__SECTION__OPTION`. If a value is wrong, the
process stops when it starts. The message names the option and says what to write. `<option>_cmd` and `<option>_secret`
work for every option on this page.

Examples of `routes` and of a profile: [Routing and profiles](routing.md).
"""


def render_cfg() -> str:
    """Return ``conf/airflow.cfg``."""
    return _CFG_HEAD + "\n".join(_render_cfg_option(option) for option in HYBRID_OPTIONS) + _CFG_TAIL


def render_docs() -> str:
    """Return ``docs/configuration.md``."""
    return "\n".join(
        (
            _DOC_HEAD,
            _render_section("hybrid_executor", HYBRID_OPTIONS, "The section of this executor."),
            _render_section(
                "celery",
                CELERY_OPTIONS,
                "The section of Airflow's CeleryExecutor, used unchanged. Options that are not listed are ignored.",
            ),
            _render_section(
                "kubernetes_executor",
                KUBERNETES_OPTIONS,
                "The section of Airflow's KubernetesExecutor, used unchanged.",
            ),
        )
    )


def _render_cfg_option(option: Option) -> str:
    text = option.description + (f" Unit: {option.unit}." if option.unit else "")
    lines = textwrap.wrap(text, width=116)
    return "\n".join([*(f"# {line}" for line in lines), f"# {option.name} = {option.default}".rstrip()]) + "\n"


def _render_section(name: str, options: Sequence[Option], about: str) -> str:
    rows = [f"| `{option.name}` | {_default(option)} | {_describe(option)} |" for option in options]
    return "\n".join((f"## [{name}]", "", about, "", "| option | default | meaning |", "|---|---|---|", *rows, ""))


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
        words.append("May hold a password.")
    return " ".join(words).replace("|", "\\|")


def main() -> None:
    """Write both files."""
    (ROOT / "conf" / "airflow.cfg").write_text(render_cfg(), encoding="utf-8")
    (ROOT / "docs" / "configuration.md").write_text(render_docs(), encoding="utf-8")


if __name__ == "__main__":
    main()
