"""What runs in a pod that gets its workload by its standard input. Needs Airflow and nothing of this project.

Handed to the pod's Python with ``-c``. It imports what a task needs (unless it is told ``on-demand``), says that it is
ready, reads one line from its standard input, says that it has accepted it, and does what ``python -m
airflow.sdk.execution_time.execute_workload`` does with that workload. It never reads a second line. Exit code 97 means
that no workload was accepted, and that none will be.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

NOTHING_RAN = 97
MODULES = """
airflow.sdk airflow.sdk.api.client airflow.sdk.execution_time.supervisor airflow.sdk.execution_time.task_runner
airflow.sdk.execution_time.callback_supervisor airflow.sdk.definitions.decorators airflow.executors.base_executor
airflow.dag_processing.dagbag airflow.dag_processing.bundles.manager airflow.dag_processing.bundles.local
airflow.serialization.serialized_objects airflow.sdk._shared.logging.factory airflow.sdk._shared.logging.remote
airflow.providers.standard.operators.python airflow.providers.standard.operators.bash
airflow.providers.standard.operators.empty airflow.providers.standard.decorators.python encodings.idna jinja2.ext
airflow.sdk.definitions.connection setproctitle netrc
""".split()


def end(*_: object) -> NoReturn:
    os._exit(NOTHING_RAN)


def read_line(seconds: float) -> tuple[str, str, str]:
    line, ends_at = b"", time.monotonic() + seconds
    while b"\n" not in line:
        if not select.select([0], [], [], max(0.0, ends_at - time.monotonic()))[0]:
            end()
        data = os.read(0, 1 << 20)
        if not data:
            end()
        line += data
    return line.partition(b"\n")[0].decode().partition(" ")


def say(words: str) -> None:
    os.write(1, f"hybrid-executor: {words}\n".encode())


def prepare() -> Any:
    from airflow.executors import workloads
    from airflow.sdk.execution_time.execute_workload import execute_workload
    from pydantic import TypeAdapter

    decoder: Any = TypeAdapter(workloads.All)
    return decoder, execute_workload


def import_first() -> Any:
    for name in MODULES:
        try:
            import_module(name)
        except Exception:  # noqa: BLE001 - a task that needs it says what is wrong
            continue
    with suppress(Exception):  # a task says it with its reason
        # The Task SDK keeps the certificates of authorities that it reads here. Nothing is sent.
        import_module("airflow.sdk.api.client").Client(base_url="http://nobody", token="").close()
    prepared = prepare()
    gc.collect()
    gc.freeze()  # the process of the task shares these pages
    return prepared


def main() -> None:
    signal.signal(signal.SIGTERM, end)
    prepared = None if sys.argv[2:] == ["on-demand"] else import_first()
    say("ready")
    attempt, _, payload = read_line(float(sys.argv[1]))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    say(f"accepted {attempt}")
    decoder, execute_workload = prepared or prepare()
    try:
        workload = decoder.validate_json(payload)
    except ValueError as error:  # its text shows the token
        sys.exit(
            f"The workload cannot be read ({type(error).__name__}): is this image's Airflow older than the scheduler's?"
        )
    execute_workload(workload)


if __name__ == "__main__":
    main()
