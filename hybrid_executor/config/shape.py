"""Which of our executors ``[core] executor`` names, and the settings that this executor reads."""

from __future__ import annotations

from hybrid_executor.config.options import ConfigSource
from hybrid_executor.config.settings import Settings, Shape, read_settings

_SHAPES: dict[str, Shape] = {
    "HybridExecutor": "hybrid",
    "KubernetesExecutor": "kubernetes",
    "LocalKubernetesExecutor": "local_kubernetes",
}


def shape_of(executor: str) -> Shape | None:
    """Return which of our executors ``[core] executor`` names first; ``None`` if that is another executor."""
    path = executor.split(";")[0].split(",")[0].rpartition(":")[2].strip()
    if not path.startswith("hybrid_executor."):
        return None
    return _SHAPES.get(path.rpartition(".")[2])


def read_configured_settings(conf: ConfigSource) -> Settings:
    """Return the settings of the configured executor; those of ``HybridExecutor`` if another project's is configured.

    :raises ConfigError: a value is wrong.
    """
    return read_settings(conf, shape=shape_of(str(conf.get("core", "executor", fallback=""))) or "hybrid")
