"""Which of our executors ``[core] executor`` names, and the settings that this executor reads."""

from __future__ import annotations

from hybrid_executor.config.options import ConfigSource
from hybrid_executor.config.settings import Settings, Shape, read_settings
from hybrid_executor.config.teams import read_executors, words_of

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


def configured_shape(conf: ConfigSource) -> Shape | None:
    """Return which of our executors is the default one of the configuration's team, or of all teams.

    ``None`` if that is another project's. A team without executors has the default one of all teams.
    """
    entries = read_executors(conf)
    own = [entry for entry in entries if entry.team == conf.team]
    return shape_of(own[0].path) if own else None


def read_configured_settings(conf: ConfigSource) -> Settings:
    """Return the settings of the configured executor; those of ``HybridExecutor`` if another project's is configured.

    The default executor need not be ours: then the first of ours counts.

    :raises ConfigError: a value is wrong.
    """
    shapes = [shape_of(entry.path) for entry in read_executors(conf) if entry.team == conf.team and entry.is_ours]
    with words_of(conf.team):
        return read_settings(conf, shape=next(filter(None, shapes), "hybrid"))
