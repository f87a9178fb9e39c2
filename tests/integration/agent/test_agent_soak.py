"""Many pods in a row, with everything that can be interrupted interrupted: none lost, none twice, no pod left.

``HYBRID_SOAK_PODS`` sets how many; with the default it takes seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from hybrid_executor.events import STREAM_START
from hybrid_executor.states import State

from .conftest import World, wait_until

PODS = int(os.environ.get("HYBRID_SOAK_PODS", "150"))
CUT_EVERY_SECONDS = 0.7 if PODS <= 300 else 3.0
SECONDS = 60 + PODS / 10


@contextmanager
def agent_process(world: World, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """An agent in a process of its own; it is killed at the end."""
    options = {
        "hybrid_executor__redis_url": world.redis_url,
        "hybrid_executor__routes": "*=kubernetes",
        "hybrid_executor__agent_lease": "2",
        "hybrid_executor__pod_creation_rate": "1000",
        "kubernetes_executor__in_cluster": "False",
        "kubernetes_executor__config_file": str(world.kubeconfig),
        "kubernetes_executor__pod_template_file": str(world.template),
    }
    environment = {f"AIRFLOW__{option.upper()}": value for option, value in options.items()}
    home = {"AIRFLOW_HOME": str(world.directory / "home")}
    command = [sys.executable, "-m", "hybrid_executor.agent", "--name", name]
    log = world.directory / f"{name}.log"
    with (
        log.open("w") as file,
        subprocess.Popen(command, env={**os.environ, **home, **environment}, stderr=file) as agent,
    ):
        try:
            yield agent
        finally:
            agent.kill()


@contextmanager
def cut_watches(world: World) -> Iterator[list[int]]:
    """Cut all watches again and again; gives the numbers of those that were cut."""
    cuts: list[int] = []
    over = threading.Event()

    def cut() -> None:
        while not over.wait(CUT_EVERY_SECONDS):
            cuts.append(world.sandbox.faults.cut_watches())

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield cuts
    finally:
        over.set()
        thread.join()


def test_no_pod_is_lost_or_made_twice_while_watches_are_cut_and_the_agent_is_killed(world: World) -> None:
    ran = world.directory / "ran"
    attempts = [world.submit(f"echo {number} >> {ran}")[0] for number in range(PODS)]
    began = time.monotonic()

    def ended() -> int:
        return sum(record is not None and record.state.is_terminal for record in world.store.attempts.records(attempts))

    with cut_watches(world) as cuts:
        with agent_process(world, "first"):
            wait_until(lambda: ended() >= PODS / 3, seconds=SECONDS, what="a third of the tasks to end")
        # SIGKILL, with creations, events and deletions under way; what it held falls to the next.
        assert ended() < PODS
        with agent_process(world, "second"):
            wait_until(lambda: ended() == PODS, seconds=SECONDS, what="all tasks to end")
            wait_until(lambda: not world.pods(), seconds=SECONDS, what="no pod left")
            wait_until(world.launch_stream_is_empty, what="the launches to be acknowledged")
    seconds = time.monotonic() - began
    records = [world.record(attempt) for attempt in attempts]
    assert Counter(record.state for record in records) == {State.SUCCEEDED: PODS}
    assert Counter(record.launches for record in records) == {0: PODS}
    runs = Counter(ran.read_text().split())
    assert (len(runs), set(runs.values())) == (PODS, {1})
    told = Counter(
        event.attempt
        for event in world.store.events.read(STREAM_START, count=1_000_000).events
        if event.state == "succeeded"
    )
    assert set(told.values()) == {1}
    assert world.store.attempts.live("kubernetes") == set()
    print(f"{PODS} pods in {seconds:.1f} s, {PODS / seconds:.0f} a second; watches cut {sum(cuts)} times")
