"""Plays Airflow's scheduler for one executor: starts it, queues workloads, calls its heartbeat."""

from __future__ import annotations

import os
import time
from typing import Any

from benchmarks.inside.round_trips import RoundTrips
from benchmarks.inside.workers import make_workers
from benchmarks.inside.workloads import change_rows, make_tasks, read_task_instances, write_rows

_PATIENCE_SECONDS = 600.0
_PAUSE_SECONDS = 0.01
_FIRST_HEARTBEATS = 3  # the first ones connect and look around, once in the life of a scheduler


class Scheduler:
    """The executor that the environment names, and what is queued to it. Each method answers with JSON."""

    def __init__(self) -> None:
        self._executor: Any = None
        self._attempts: list[str] = []
        self._ahead_seconds = 0.0

    # ---- life ----

    def load(self) -> dict[str, float]:
        """Import and construct the executor as the API server does; return milliseconds and MB of memory.

        What every Airflow process has imported before is not counted.
        """
        import psutil
        from airflow.executors.executor_loader import ExecutorLoader

        me = psutil.Process()
        before, began = me.memory_info().rss, time.perf_counter()
        ExecutorLoader.init_executors()
        seconds = time.perf_counter() - began
        return {"ms": 1000 * seconds, "mb": (me.memory_info().rss - before) / 1e6}

    def start(self, job_id: int = 1) -> None:
        """Start a new executor in place of the one before, and let it come to rest."""
        from airflow.executors.executor_loader import ExecutorLoader

        self.stop()
        executor_class, _ = ExecutorLoader.import_default_executor_cls()
        self._executor = executor_class(parallelism=1_000_000)
        self._executor.job_id = job_id
        if hasattr(self._executor, "clock"):
            self._executor.clock = lambda: time.monotonic() + self._ahead_seconds
        self._executor.start()
        self._attempts = []
        self._heartbeats(_FIRST_HEARTBEATS)

    def stop(self) -> None:
        """End the executor if there is one."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.end()

    # ---- work ----

    def await_agent(self) -> None:
        """Return when the agent that the executor has started, if it starts any, is at work."""
        if getattr(self._executor, "_child", None) is None:
            return
        presence, began = self._executor.context.store.presence, time.monotonic()
        while not any(agent.is_alive for agent in presence.members("agent")):
            self._heartbeats(1)
            if time.monotonic() - began > _PATIENCE_SECONDS:
                raise RuntimeError("the agent does not start")
        self._heartbeats(_FIRST_HEARTBEATS)

    def queue(self, count: int, queue: str = "default", with_rows: bool = False) -> None:
        """Queue workloads; ``with_rows`` also writes their rows to Airflow's database, in place of all there were."""
        tasks = make_tasks(count, queue=queue)
        if with_rows:
            write_rows(tasks, state="queued", job_id=self._executor.job_id)
        for task in tasks:
            self._executor.queue_workload(task, session=None)
        self._attempts += [task.ti.external_executor_id for task in tasks]

    def assume_running(self, count: int, with_rows: bool = False) -> None:
        """Have so many attempts run on workers, and let the executor know it. What that costs is not measured."""
        self.queue(count, with_rows=with_rows)
        make_workers(self._executor).submit(self._executor)
        self.run_all()

    def change_rows(self, state: str) -> None:
        """Change the state of all task instances in Airflow's database."""
        change_rows(state)

    def run_all(self) -> None:
        """Let workers say that all attempts run, and let the executor take that in."""
        make_workers(self._executor).start(self._attempts)
        self._heartbeats(_FIRST_HEARTBEATS)
        self._executor.get_event_buffer()

    def submit(self) -> dict[str, float]:
        """Call ``heartbeat()`` until all that was queued is handed out; return ``seconds`` and ``cpu`` seconds."""
        began, cpu = time.perf_counter(), time.process_time()
        while self._executor.queued_tasks:
            self._executor.heartbeat()
            if time.perf_counter() - began > _PATIENCE_SECONDS:
                raise RuntimeError(f"{len(self._executor.queued_tasks)} workloads are queued still")
        taken = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        failed = [key for key, (state, _) in self._executor.get_event_buffer().items() if state == "failed"]
        if failed:
            raise RuntimeError(f"{len(failed)} workloads could not be submitted")
        return taken

    def end_all(self) -> dict[str, float]:
        """Let workers say that all attempts have ended; return how long it takes the executor to say so.

        ``seconds`` is the time within ``heartbeat()``, ``calls`` how often it was called.
        """
        make_workers(self._executor).end(self._attempts)
        ended, seconds, calls = 0, 0.0, 0
        while ended < len(self._attempts):
            began = time.perf_counter()
            self._executor.heartbeat()
            seconds += time.perf_counter() - began
            calls += 1
            ended += sum(str(state) == "success" for state, _ in self._executor.get_event_buffer().values())
            if seconds > _PATIENCE_SECONDS:
                raise RuntimeError(f"{len(self._attempts) - ended} ends were not taken in")
        return {"seconds": seconds, "calls": calls}

    def beat_until(self, path: str) -> dict[str, Any]:
        """Call ``heartbeat()`` until a file exists, and once more: what came before the file is taken in.

        Return the ``seconds`` within it, and at which Unix time each attempt's ``ends`` were reported, by map index.
        """
        seconds, ends = 0.0, dict[str, float]()
        is_last = False
        while not is_last:
            is_last = os.path.exists(path)
            began = time.perf_counter()
            self._executor.heartbeat()
            seconds += time.perf_counter() - began
            now = time.time()
            for key, (state, info) in self._executor.get_event_buffer().items():
                if str(state) == "failed":
                    raise RuntimeError(f"an attempt failed: {info}")
                if str(state) == "success":
                    ends.setdefault(str(key.map_index), now)
            time.sleep(_PAUSE_SECONDS)
        return {"seconds": seconds, "ends": ends}

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass for the timers of the executor."""
        self._ahead_seconds += seconds

    def forget(self) -> None:
        """Forget which attempts there were, all of which have ended."""
        self._attempts = []

    def heartbeats(self, times: int) -> list[float]:
        """Return the milliseconds of each of some heartbeats."""
        return [1000 * seconds for seconds in self._heartbeats(times)]

    def adopt(self) -> dict[str, float]:
        """Adopt all task instances of the database as another scheduler; return seconds and round trips."""
        attempts = list(self._attempts)
        self.start(job_id=2)
        tis = read_task_instances()
        if len(tis) != len(attempts):
            raise RuntimeError(f"{len(tis)} rows for {len(attempts)} attempts")
        with RoundTrips() as trips:
            began = time.perf_counter()
            given_back = self._executor.try_adopt_task_instances(tis)
            seconds = time.perf_counter() - began
        if given_back or len(self._executor.running) != len(attempts):
            raise RuntimeError(f"{len(self._executor.running)} of {len(attempts)} were adopted")
        return {"seconds": seconds, "redis": trips.redis, "database": trips.database}

    def _heartbeats(self, times: int) -> list[float]:
        found = []
        for _ in range(times):
            time.sleep(_PAUSE_SECONDS)
            began = time.perf_counter()
            self._executor.heartbeat()
            found.append(time.perf_counter() - began)
        return found
