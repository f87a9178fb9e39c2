"""The steps of a demo: start, run, watch, check."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from hybrid_executor.demo.home import ROUTES, dag_files
from hybrid_executor.demo.journal import Journal
from hybrid_executor.demo.judgement import judge
from hybrid_executor.demo.report import Report
from hybrid_executor.demo.runs import DemoFailed, Runs, follow, wait_for_dags
from hybrid_executor.demo.screen import Screen
from hybrid_executor.routing import Routes
from hybrid_executor.standalone import LocalAirflow, StackFailed
from hybrid_executor.standalone.signals import StopWish

_START_SECONDS = 120
_DAGS_SECONDS = 60
_LOOK_SECONDS = 0.7
_SETTLE_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Course:
    """One demo. It starts the Airflow; the caller stops it.

    :ivar timeout_seconds: runs that have not ended after this time count as failed.
    """

    airflow: LocalAirflow
    dags: Path
    routes: Routes
    screen: Screen
    wish: StopWish
    timeout_seconds: float

    def run(self) -> Report:
        """Run every DAG once and check the result; returns early if a stop is requested."""
        begun = time.monotonic()
        seconds = {"start": 0.0, "runs": 0.0}
        runs = Runs(self.airflow.api, Journal(self.airflow.store))
        problems: list[str] = []
        try:
            self._start(runs)
            seconds["start"] = time.monotonic() - begun
            problems = self._watch(runs)
            seconds["runs"] = time.monotonic() - begun - seconds["start"]
        except (StackFailed, DemoFailed) as error:
            problems = [str(error)]
        if self.wish.stop.is_set():
            problems = ["interrupted"]
        seconds["total"] = time.monotonic() - begun
        return Report(problems=problems, routes=ROUTES, run_states=runs.states, rows=runs.rows, seconds=seconds)

    def _start(self, runs: Runs) -> None:
        begun = time.monotonic()
        self.screen.say(f"starting {', '.join(self.airflow.stack.names)}")
        stop = self.wish.stop
        if not self.airflow.stack.wait_ready(
            timeout_seconds=_START_SECONDS,
            stop=stop,
            on_wait=lambda names: self.screen.show((), headline=f"waiting for {', '.join(names)}"),
        ):
            return
        expected = len(dag_files(self.dags))
        found = wait_for_dags(self.airflow.api, expected=expected, timeout_seconds=_DAGS_SECONDS, stop=stop)
        self.screen.say(f"ready after {time.monotonic() - begun:.0f} s: {self.airflow.login}")
        if found:
            runs.start()
            self.screen.say(f"running {', '.join(sorted(found))} with the routes {self.routes}")

    def _watch(self, runs: Runs) -> list[str]:
        """Follow the runs to their end and return the problems."""
        deadline = time.monotonic() + self.timeout_seconds
        complaint = ""
        while not runs.are_over and not self.wish.stop.wait(_LOOK_SECONDS):
            self.airflow.stack.advance()
            complaint = follow(runs)
            self.screen.show(runs.rows, headline=_headline(runs))
            if time.monotonic() > deadline:
                states = ", ".join(f"{dag_id} is {state}" for dag_id, state in runs.states.items())
                return [f"the runs did not end within {self.timeout_seconds:.0f} s: {states}. {complaint}".strip()]
        return self._judge(runs)

    def _judge(self, runs: Runs) -> list[str]:
        """Check the result; wait some seconds for the last events of the last tasks."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            complaint = follow(runs)
            self.screen.show(runs.rows, headline=_headline(runs))
            problems = [complaint] if complaint else self._problems(runs)
            is_final = not problems or "failed" in runs.states.values() or time.monotonic() > deadline
            if is_final or self.wish.stop.wait(_LOOK_SECONDS):
                return problems

    def _problems(self, runs: Runs) -> list[str]:
        return judge(
            run_states=runs.states,
            instances=runs.instances,
            tries=runs.tries,
            records=[record for record in runs.journal.records if record.run_id in runs.ids.values()],
            routes=self.routes,
            workers=runs.journal.workers,
        )


def _headline(runs: Runs) -> str:
    ended = sum(instance["state"] in ("success", "skipped") for instance in runs.instances)
    states = ", ".join(f"{dag_id} {state}" for dag_id, state in runs.states.items())
    return f"{states}: {ended} of {len(runs.instances)} tasks done"
