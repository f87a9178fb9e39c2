"""No workload outlives the process that answers for it.

When a worker's task process is killed, its attempt fails at once and may be tried again; the workload's own process,
forked by Airflow's supervisor inside the task process, must not go on meanwhile.
"""

from __future__ import annotations

import os

from celery import platforms  # type: ignore[import-untyped]


def tie_workloads_to_this_process() -> None:
    """Let the kernel kill what this process forks from now on when this process dies; its grandchildren are free.

    Linux only; elsewhere nothing happens. Cannot be undone; call it once in each task process.
    """
    supervisor = os.getpid()

    def tie() -> None:
        if os.getppid() == supervisor:
            platforms.set_pdeathsig("SIGKILL")

    os.register_at_fork(after_in_child=tie)
