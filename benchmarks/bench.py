"""What each benchmark gets: servers, a process of each side, and turns."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from benchmarks.cluster import NAMESPACE, TEMPLATE
from benchmarks.remote import Remote
from benchmarks.servers import Servers
from benchmarks.sides import CELERY, CELERY_REDIS, KUBERNETES, KUBERNETES_ASYNC, Side
from hybrid_executor.standalone.environment import clean_environment

Measured = TypeVar("Measured")
_LONG_SECONDS = 30.0


@dataclass
class Beats:
    """What came of many heartbeats.

    :ivar seconds: the time within them.
    :ivar ends: Unix time at which the end of an attempt was reported, by map index.
    """

    seconds: float = 0.0
    ends: dict[str, float] = field(default_factory=dict)


class Bench:
    """A context manager that ends all processes of the sides.

    :param rounds: how often the sides take turns; fewer where a comparison has taken more than half a minute.
    :param only_ours: upstream is neither installed nor run.
    :ivar series: what plots need beside the rows, by what it is; as JSON takes it.
    :ivar notes: what is to be said below the table.
    """

    def __init__(self, servers: Servers, *, rounds: int = 3, only_ours: bool = False) -> None:
        self.servers = servers
        self.rounds = rounds
        self.only_ours = only_ours
        self.series: dict[str, Any] = {}
        self.notes: list[str] = []
        self._remotes: dict[tuple[object, ...], Remote] = {}

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_remotes()

    # ---- sides ----

    @property
    def upstream_celery(self) -> list[Side]:
        """Upstream's executors of Celery, the default one first."""
        return [] if self.only_ours else [CELERY, CELERY_REDIS]

    @property
    def upstream_kubernetes(self) -> list[Side]:
        """Upstream's executors of Kubernetes, the default one first."""
        return [] if self.only_ours else [KUBERNETES, KUBERNETES_ASYNC]

    def remote(self, side: Side, *, delay_ms: float = 0, **options: str) -> Remote:
        """Return the process of a side with these options; it is started once.

        :param delay_ms: network delay between it and Redis.
        :param options: Airflow's options as ``section__name``.
        """
        identity = (side.name, delay_ms, *sorted(options.items()))
        if identity not in self._remotes:
            self._remotes[identity] = self._start(side, delay_ms=delay_ms, options=options)
        return self._remotes[identity]

    def remote_with_pods(self, side: Side) -> Remote:
        """Return the process of a side that may create pods; ours has its agent as a child process."""
        template = self.servers.folder / "template.yaml"
        template.write_text(TEMPLATE, encoding="ascii")
        return self.remote(
            side,
            hybrid_executor__agent="child",
            hybrid_executor__pod_creation_rate="100000",
            hybrid_executor__starting_pods="100000",
            kubernetes_executor__config_file=str(self.servers.kubeconfig),
            kubernetes_executor__in_cluster="False",
            kubernetes_executor__namespace=NAMESPACE,
            kubernetes_executor__pod_template_file=str(template),
        )

    @contextmanager
    def new_remote(self, side: Side, **options: str) -> Iterator[Remote]:
        """Start a new process of a side; it ends on leaving."""
        remote = self._start(side, delay_ms=0, options=options)
        try:
            yield remote
        finally:
            remote.close()

    def _start(self, side: Side, *, delay_ms: float, options: Mapping[str, str]) -> Remote:
        broker = self.servers.redis_url(delay_ms)
        home = Path(tempfile.mkdtemp(prefix="side-", dir=self.servers.folder))
        environment = clean_environment(os.environ) | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-this-benchmark-run-which-is-long-enough",
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CORE__EXECUTOR": side.executor,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "1000000",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.servers.database_url,
            "AIRFLOW__HYBRID_EXECUTOR__AGENT": "external",
        }
        environment |= side.options
        environment |= {f"AIRFLOW__{name.upper()}": value for name, value in options.items()}
        if side.keeps_results_in_broker:
            environment["AIRFLOW__CELERY__RESULT_BACKEND"] = broker
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return Remote(side, environment=environment, log=home / "log")

    @contextmanager
    def beating(self, remote: Remote) -> Iterator[Beats]:
        """Let a side call its executor's ``heartbeat()`` all the time within this block.

        What came of it is known when the block is left.
        """
        stop, beats = self.servers.folder / "stop", Beats()
        stop.unlink(missing_ok=True)
        remote.begin("beat_until", path=str(stop))
        try:
            yield beats
        finally:
            stop.touch()
            answer = remote.answer()
            beats.seconds, beats.ends = answer["seconds"], answer["ends"]

    def ends_of_logs(self) -> str:
        """Return the last lines of each side's log."""
        return "\n".join(f"{one.side.name}:\n{one.end_of_log()}" for one in self._remotes.values())

    def close_remotes(self) -> None:
        """End all processes of the sides."""
        while self._remotes:
            self._remotes.popitem()[1].close()

    # ---- turns ----

    def alternate(
        self, measures: Mapping[Side, Callable[[], Measured]], *, rounds: int = 0
    ) -> dict[Side, list[Measured]]:
        """Let the sides take turns on an empty Redis, the first one changing; return what each measured.

        What is measured has to stop its executor: one that finds Redis empty submits all of its attempts again.

        :param rounds: how often, however long it takes; 0 for as often as everything else.
        """
        found: dict[Side, list[Measured]] = {side: [] for side in measures}
        order, began = list(measures), time.monotonic()
        for _ in range(rounds or self.rounds):
            for side in order:
                self.servers.empty_redis()
                found[side].append(measures[side]())
            order.reverse()
            if not rounds and time.monotonic() - began > _LONG_SECONDS:
                break
        self.servers.empty_redis()
        return found


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def each_or_none(sides: Sequence[Side]) -> list[Side | None]:
    """Return what a row of ours can stand beside: each of upstream's sides, or nothing."""
    return [*sides] or [None]
