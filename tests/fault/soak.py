"""``python -m tests.fault.soak --seed 7 --minutes 20``: faults that a seed chooses, over a load of both pools.

After each fault a run is started, and it is measured when its tasks begin. At the end all invariants must hold. Exits
with 1 where one does not; the parts' logs are kept then.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="hybrid-soak-home-"))

from tests.fault import invariants
from tests.fault.catalogue import HAPPENINGS
from tests.fault.deployment import Deployment
from tests.fault.load import Load
from tests.fault.said import warnings
from tests.waiting import wait_until

_ACTIVE_RUNS = 3
_TWO_AT_ONCE = 0.3
_PAUSE_SECONDS = (1.0, 8.0)
_RECOVERY_SECONDS = 600.0
_NOTHING = "nothing"
_COLUMNS = """lasted: how long the fault struck. worker, pod: from its end until a task of a run that was started then
had begun there, behind what waits already; "nothing" is the same without a fault. heartbeat: the longest of all
schedulers."""
_MOST_SAID = 8


@dataclass(frozen=True)
class Row:
    """One fault, two at the same time, or none, and how long until tasks of a run that was started then had begun.

    :ivar lasted: how long it struck; ``worker``, ``pod``: from its end to the first begin of a task there, in seconds.
    :ivar heartbeat: the longest ``heartbeat()`` from its begin until then.
    """

    name: str
    lasted: float
    worker: float
    pod: float
    heartbeat: float


class Soak:
    """Strikes and measures.

    :ivar rows: what has been measured.
    """

    def __init__(self, deployment: Deployment, random: Random) -> None:
        self.rows: list[Row] = []
        self.load = Load(deployment.api, deployment.database, deployment.marks)
        self._deployment = deployment
        self._random = random
        # Parts end with the thread that has started them.
        self._threads = ThreadPoolExecutor(2)

    def run(self, *, seconds: float) -> None:
        """Let faults strike for so long, and wait until all that was started has ended."""
        until = time.monotonic() + seconds
        self._fill()
        self._strike([])
        while time.monotonic() < until:
            self._fill()
            time.sleep(self._random.uniform(*_PAUSE_SECONDS))
            self._strike(self._choose())
            assert not self._deployment.died(), f"these have ended by themselves: {self._deployment.died()}"
        self._deployment.heal()
        self.load.wait(*self.load.runs)

    def _choose(self) -> list[str]:
        """Return which faults strike next; not two of the Redis server, of which one would undo the other."""
        names = self._random.sample(sorted(HAPPENINGS), 2 if self._random.random() < _TWO_AT_ONCE else 1)
        return names[:1] if all(name.startswith("redis ") for name in names) else names

    def _fill(self) -> None:
        states = self.load.states(self.load.runs)
        active = sum(states.get(run) not in ("success", "failed") for run in self.load.runs)
        for _ in range(_ACTIVE_RUNS - active):
            dag = self._random.choice(["load", "load", "workers", "everything"])
            self.load.start(dag, seconds=self._random.uniform(0, 12))

    def _strike(self, names: list[str]) -> None:
        since, began = self._deployment.count_heartbeats(), time.time()
        for happening in [self._threads.submit(self._happen(name)) for name in names]:
            happening.result()
        over = time.time()
        probe = self.load.start("load", seconds=0)

        def have_begun() -> bool:
            begun = {step.task_id for step in self.load.marks.begun if step.run_id == probe}
            return {"on_worker", "in_pod"} <= begun

        wait_until(
            have_begun,
            what=lambda: f"a run goes on after {names}: {self.load.unfinished([probe])}",
            seconds=_RECOVERY_SECONDS,
        )
        first: dict[str, float] = {}
        for step, times in self.load.marks.begun.items():
            if step.run_id == probe:
                pool = "worker" if step.task_id == "on_worker" else "pod"
                first[pool] = min(first.get(pool, times[0]), times[0])
        row = Row(
            " + ".join(names) or _NOTHING,
            over - began,
            first["worker"] - over,
            first["pod"] - over,
            self._deployment.slowest_heartbeat(since=since),
        )
        self.rows.append(row)
        print(_line(row), flush=True)

    def _happen(self, name: str) -> Callable[[], None]:
        random = Random(self._random.random())
        return lambda: HAPPENINGS[name](self._deployment, random)


def check(deployment: Deployment, load: Load) -> None:
    """Raise where an invariant does not hold."""
    invariants.check_ends(load, load.runs, forgiven=deployment.count_failed_by_api_server())
    invariants.check_each_try_is_another_attempt(load, load.runs)
    invariants.check_nothing_is_left(deployment)
    invariants.check_heartbeats(deployment)


def _line(row: Row) -> str:
    return f"{row.name:<48} {row.lasted:>7.1f} {row.worker:>8.1f} {row.pod:>8.1f} {row.heartbeat:>9.2f}"


def _table(rows: list[Row]) -> str:
    """Return the longest times without a fault, and of each fault that struck alone."""
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_name[row.name if " + " not in row.name else "two at once"].append(row)
    lines = [f"{'fault':<26}{'times':>6}{'lasted':>8}{'worker':>8}{'pod':>8}{'heartbeat':>11}   (longest, in seconds)"]
    for name, found in sorted(by_name.items(), key=lambda item: (item[0] != _NOTHING, item[0])):
        longest = [max(getattr(row, field) for row in found) for field in ("lasted", "worker", "pod", "heartbeat")]
        lines.append(
            f"{name:<26}{len(found):>6}{longest[0]:>8.1f}{longest[1]:>8.1f}{longest[2]:>8.1f}{longest[3]:>11.2f}"
        )
    return "\n".join([*lines, "", _COLUMNS])


def _spent(load: Load) -> str:
    """Return for which reasons tries were spent that were not meant to be, and how often."""
    reasons = Counter(text.split(":")[0][:60] for _, event, text in load.audit(load.runs) if event.startswith("hybrid"))
    tries = load.tries(load.runs)
    return f"{len(load.runs)} runs, {len(tries)} tasks, {sum(map(len, tries.values()))} tries; told: {dict(reasons)}"


def _said(deployment: Deployment) -> str:
    """Return what parts have said most often."""
    found = [(n, part, words) for part, said in warnings(deployment.parts, {}).items() for words, n in said.items()]
    lines = [f"{n:>5} times {part}: {words}" for n, part, words in sorted(found, reverse=True)[:_MOST_SAID]]
    return "\n".join(["said most often:", *lines])


def main(arguments: list[str] | None = None) -> int:
    """Run one soak; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=20.0)
    options = parser.parse_args(arguments)
    home = Path(tempfile.mkdtemp(prefix="hybrid-soak-"))
    print(f"seed {options.seed}, {options.minutes:g} minutes; logs: {home / 'logs'}", flush=True)
    with Deployment(home, schedulers=2, agents=2, workers=2) as deployment:
        soak = Soak(deployment, Random(options.seed))
        print(f"{'fault':<48} {'lasted':>7} {'worker':>8} {'pod':>8} {'heartbeat':>9}", flush=True)
        try:
            soak.run(seconds=options.minutes * 60)
            check(deployment, soak.load)
        except AssertionError as error:
            print(f"\nFAILED with seed {options.seed}: {error}", file=sys.stderr)
            return 1
        print(f"\n{_table(soak.rows)}\n\n{_said(deployment)}\n\n{_spent(soak.load)}\nall invariants hold")
    shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
