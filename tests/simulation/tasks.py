"""What a task does: it asks the API to let it start, sends heartbeats, and reports its end."""

from __future__ import annotations

from tests.simulation.airflow_model import TASK_BEAT_SECONDS, Airflow
from tests.simulation.invariants import Runs
from tests.simulation.world import Process, World


class Tasks:
    """Runs of tasks, in the task process of a worker or in a pod."""

    def __init__(self, world: World, airflow: Airflow, runs: Runs) -> None:
        self._world = world
        self._airflow = airflow
        self._runs = runs

    def is_launched_again(self, attempt: str) -> None:
        """Note that the API server has created a second pod, late, when the first was gone."""
        self._runs.launched_again.add(attempt)

    def run(self, task_id: str, attempt: str, process: Process, *, taken_at: float | None = None) -> int:
        """Run a task in this process; return the exit code.

        :param taken_at: when its worker took the message, ``None`` in a pod.
        :raises TaskAlreadyRunningError, NotWaiting: the API refuses its start.
        """
        world, airflow = self._world, self._airflow
        run = self._runs.begin(attempt, process, taken_at=taken_at)
        try:
            world.say(f"runs {attempt[:8]}", process=process)
            row = airflow.begin_run(task_id, process)
            self._runs.admitted(run, row)
            number = row.runs - 1
            end = row.plan.runs[number] if number < len(row.plan.runs) else "success"
            until = world.now + row.plan.seconds
            while world.now < until:
                world.sleep(min(TASK_BEAT_SECONDS, until - world.now))
                if not airflow.beat(row, process, task_id):
                    world.say(f"stops {attempt[:8]}: it is not to run any more", process=process)
                    return 1
            is_accepted = airflow.end_run(row, process, task_id, end)
            world.say(f"{row.name} ends with {end}{'' if is_accepted else ', refused'}", process=process)
            return 0 if is_accepted else 1
        finally:
            self._runs.end(run)
