"""``[core] executor`` of Airflow 2 and 3, and where each of its forms runs a task. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hybrid_executor.errors import ConfigError

_CELERY = "airflow.providers.celery.executors."
_KUBERNETES = "airflow.providers.cncf.kubernetes.executors."
_CORE = {
    "CeleryExecutor": _CELERY + "celery_executor.CeleryExecutor",
    "KubernetesExecutor": _KUBERNETES + "kubernetes_executor.KubernetesExecutor",
    "LocalExecutor": "airflow.executors.local_executor.LocalExecutor",
    "SequentialExecutor": "airflow.executors.sequential_executor.SequentialExecutor",
    "CeleryKubernetesExecutor": _CELERY + "celery_kubernetes_executor.CeleryKubernetesExecutor",
    "LocalKubernetesExecutor": _KUBERNETES + "local_kubernetes_executor.LocalKubernetesExecutor",
}
_POOLS = {
    "CeleryExecutor": "celery",
    "KubernetesExecutor": "kubernetes",
    "LocalExecutor": "local",
    "SequentialExecutor": "local",
    "CeleryKubernetesExecutor": "celery_kubernetes",
    "LocalKubernetesExecutor": "local_kubernetes",
}
BY_QUEUE = {"celery_kubernetes": "celery", "local_kubernetes": "local"}
"""Executors that look at the queue, and the pool of all queues but the one for pods."""


@dataclass(frozen=True)
class Entry:
    """One executor of the list.

    :ivar text: as it is written.
    :ivar alias: the name that tasks may use; "" for none.
    :ivar path: the import path.
    :ivar pool: where it runs tasks: celery, kubernetes, local; celery_kubernetes or local_kubernetes if the queue
        decides; hybrid for ours; "" for any other executor.
    """

    text: str
    alias: str
    path: str
    pool: str

    @property
    def names(self) -> frozenset[str]:
        """What ``executor=`` of a task may be to mean this one: alias, import path, or name of the class."""
        return frozenset({self.alias, self.path, self.path.rpartition(".")[2]} - {""})


@dataclass(frozen=True)
class Executors:
    """The configured executors.

    :ivar entries: those of all teams, in their order; the first one is the default.
    :ivar teams: the entries of teams, as they are written, for example ``etl=CeleryExecutor``.
    :ivar kubernetes_queue: the queue for pods of executors that look at the queue.
    :ivar default_queue: the queue of tasks that name none.
    """

    entries: tuple[Entry, ...]
    teams: tuple[str, ...] = ()
    kubernetes_queue: str = "kubernetes"
    default_queue: str = "default"

    @property
    def default(self) -> Entry:
        """The executor of tasks that name none."""
        return self.entries[0]

    def find(self, name: str | None) -> Entry | None:
        """Return the executor that a task means; ``None`` if there is no such executor."""
        if not name:
            return self.default
        return next((entry for entry in self.entries if name in entry.names), None)

    def pool_of(self, executor: str | None, queue: str | None) -> str:
        """Return where a task runs: celery, kubernetes or local; "" if another executor runs it."""
        entry = self.find(executor)
        if entry is None:
            return ""
        if entry.pool in BY_QUEUE:
            is_pod = (queue or self.default_queue) == self.kubernetes_queue
            return "kubernetes" if is_pod else BY_QUEUE[entry.pool]
        return entry.pool


def parse_executors(text: str, *, kubernetes_queue: str = "kubernetes", default_queue: str = "default") -> Executors:
    """Return the executors of ``[core] executor``: names, import paths, ``alias:name``, and entries of teams.

    :raises ConfigError: Airflow would refuse it; the message says what to write.
    """
    entries: list[Entry] = []
    teams: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        team, sign, rest = part.partition("=")
        if sign and team.strip():
            teams.append(part)
        elif teams:
            raise ConfigError(f"[core] executor = {text}: write {part} before the entries of teams.")
        else:
            entries += [_parse_entry(name, text) for name in _split(rest if sign else part)]
    if not entries:
        raise ConfigError(
            f"[core] executor = {text!r} has no executor for all teams: write one in front, such as "
            f"hybrid_executor.HybridExecutor{';' if text else ''}{text}."
        )
    paths = [entry.path for entry in entries]
    if len(set(paths)) < len(paths):
        raise ConfigError(f"[core] executor = {text}: an executor is there twice; Airflow refuses that. Remove one.")
    return Executors(tuple(entries), tuple(teams), kubernetes_queue, default_queue)


def _split(names: str) -> Sequence[str]:
    return [name for name in (name.strip() for name in names.replace("\n", ",").split(",")) if name]


def _parse_entry(text: str, whole: str) -> Entry:
    alias, sign, name = text.rpartition(":")
    if (sign and not name) or ":" in alias:
        raise ConfigError(f"[core] executor = {whole}: {text!r} is not an executor; write alias:import.path.of.Class.")
    if not sign and name in _CORE:
        alias = name
    path = _CORE.get(name, name)
    return Entry(text, alias.strip(), path, _pool_of_path(path))


def _pool_of_path(path: str) -> str:
    if path.startswith("hybrid_executor."):
        return "hybrid"
    if not path.startswith("airflow."):
        return ""
    return _POOLS.get(path.rpartition(".")[2], "")
