"""The description of this package for Airflow: its executors, its configuration section and its group of commands.

Airflow calls this while it reads its own configuration. So it imports only the table of options, and never fails.
"""

from __future__ import annotations

from typing import Any

from hybrid_executor.config.options import Option
from hybrid_executor.config.table import HYBRID_OPTIONS, SECTION

_TYPES = {"str": "string", "int": "integer", "float": "float", "bool": "boolean", "json": "string", "list": "string"}
_VERSION_ADDED = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-hybrid-executor",
        "name": "Hybrid executor",
        "description": "Routes tasks by their queue to Celery workers or to Kubernetes pods.",
        "executors": [
            "hybrid_executor.HybridExecutor",
            "hybrid_executor.KubernetesExecutor",
            "hybrid_executor.LocalKubernetesExecutor",
        ],
        "cli": ["hybrid_executor.cli.definition.get_hybrid_cli_commands"],
        "config": {
            SECTION: {
                "description": "Options of the hybrid executor, its agents and its workers.",
                "options": {option.name: _describe(option) for option in HYBRID_OPTIONS},
            }
        },
    }


def _describe(option: Option) -> dict[str, Any]:
    # Airflow calls str.format on defaults, which fails for "{}". No default means the same.
    default = None if option.default in ("", "{}") else option.default
    described: dict[str, Any] = {
        "description": option.description + (f" Unit: {option.unit}." if option.unit else ""),
        "version_added": _VERSION_ADDED,
        "type": _TYPES[option.type],
        "example": None,
        "default": default,
    }
    if option.sensitive:
        described["sensitive"] = True
    return described
