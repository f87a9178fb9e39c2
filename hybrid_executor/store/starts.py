"""Pods on their way to their task's start: how many there may be at once in a cluster, shared by all its agents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import redis

from hybrid_executor.events import AttemptId
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.scripts import calls, run_script
from hybrid_executor.store.translation import translated

_What = Literal["admit", "leave", "run", "started", "ended", "report"]


class Starts:
    """The starts of one instance, by cluster; all on the server's clock.

    A pod counts from its admission until its task has started, it ended, or it turned out not to be on its way; never
    longer than 30 s before its container runs and 120 s after.
    """

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def admit(self, cluster: str, attempts: Sequence[AttemptId], *, most: int) -> int:
        """Let pods be created; return how many of ``attempts``, from the first.

        :param most: pods on their way at once, 0 for a limit that adapts to how quickly tasks start.
        """
        return self._run("admit", cluster, attempts, most)[0]

    @translated
    def leave(self, cluster: str, attempts: Iterable[AttemptId]) -> None:
        """These pods will not start a task: refused, unschedulable, failed. Does not change the pace."""
        self._run("leave", cluster, list(attempts))

    @translated
    def run(self, cluster: str, attempts: Iterable[AttemptId]) -> None:
        """The containers of these run. Without :meth:`report` that counts as their tasks' start."""
        self._run("run", cluster, list(attempts))

    @translated
    def started(self, cluster: str, attempts: Iterable[AttemptId]) -> None:
        """The tasks of these have started."""
        self._run("started", cluster, list(attempts))

    @translated
    def ended(self, cluster: str, attempts: Iterable[AttemptId]) -> None:
        """The tasks of these have succeeded. Changes the pace only where they took at most 10 s."""
        self._run("ended", cluster, list(attempts))

    @translated
    def report(self, cluster: str) -> None:
        """Promise to report starts for the next 30 s."""
        self._run("report", cluster, [])

    @translated
    def under_way(self, cluster: str) -> tuple[int, int]:
        """Return how many pods are on their way, and the adaptive limit."""
        return self._run("leave", cluster, [])

    def _run(self, what: _What, cluster: str, attempts: Sequence[AttemptId], most: int = 0) -> tuple[int, int]:
        call = calls.Starts(
            starting_key=self._keys.starting(cluster),
            pace_key=self._keys.pace(cluster),
            what=what,
            fixed_limit=most,
            attempts=tuple(attempts),
        )
        first, second = run_script(self._client, call)
        return int(first), int(second)
