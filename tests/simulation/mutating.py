"""Loads the product with one guard removed, and counts the histories until the simulation notices.

Each mutant has a process of its own, forked before the product is imported and after Airflow is, which takes long.
"""

from __future__ import annotations

import importlib
import itertools
import os
import pathlib
import sys
import time
import traceback
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from types import CodeType

from tests.simulation.mutant import Mutant
from tests.simulation.mutant_table import update_table
from tests.simulation.mutants import MUTANTS

_AIRFLOW = (
    "airflow.executors.local_executor",
    "airflow.executors.workloads",
    "airflow.models.connection_test",
    "airflow.models.log",
    "airflow.models.taskinstance",
    "celery",
)


def run_mutants(mutants: Sequence[Mutant], *, first: int, most: int, redis: str, is_written: bool) -> int:
    """Run mutants; return how many were not noticed.

    :param first: the first seed.
    :param most: run at most so many histories for each.
    :param redis: a server on which a history that notices one is run again, "" for none.
    :param is_written: write what was found into the documentation.
    """
    for name in _AIRFLOW:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # not in all releases
    loaded = [name for name in sys.modules if name.partition(".")[0] in ("hybrid_executor", "hybrid_workers")]
    missed = 0
    for mutant in mutants:
        mutant.mutated()
        began, most_here = time.perf_counter(), min(most, mutant.within)
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            _run_alone(mutant, loaded, first=first, most=most_here, redis=redis, told=writing)
        os.close(writing)
        with os.fdopen(reading) as told:
            count = told.read()
        found = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
        missed += not (found or mutant.unseen_because)
        if mutant.unseen_because and not found:
            print(f" ({mutant.unseen_because})", end="")
        print(f"  {time.perf_counter() - began:.0f} s", flush=True)
        if is_written:
            update_table(MUTANTS, {mutant.name: count or f"not in {most_here}"})
    print(f"{missed} mutants were not noticed")
    return missed


def choose(words: str) -> list[Mutant]:
    """Return the mutants whose name or file contains one of these words, which are separated by commas."""
    wanted = [word.strip() for word in words.split(",")]
    return [mutant for mutant in MUTANTS if any(word in f"{mutant.file} {mutant.name}" for word in wanted)]


def _run_alone(mutant: Mutant, loaded: list[str], *, first: int, most: int, redis: str, told: int) -> None:
    """Run histories until one fails, write how many they were to ``told``, and end this process."""
    code = 2
    try:
        for name in loaded:
            del sys.modules[name]
        _install(mutant)
        from tests.simulation.history import run_plan
        from tests.simulation.plan import make_plan
        from tests.simulation.replaying import replay

        code = 1
        plans = filter(mutant.may_be_noticed_in, map(make_plan, itertools.count(first)))
        for count, plan in enumerate(itertools.islice(plans, most)):
            result = run_plan(plan)
            if result.violations:
                found = result.violations[0][:150]
                print(f"{mutant.name}: after {count + 1} histories (seed {plan.seed}): {found}", end="", flush=True)
                os.write(told, str(count + 1).encode())
                if redis:
                    print(f"\n{replay(result, redis)}", end="", flush=True)
                code = 0
                break
        else:
            print(f"NOT NOTICED in {most} histories: {mutant.name}", end="", flush=True)
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def _install(mutant: Mutant) -> None:
    """Let this process read the mutated text in place of the file."""
    path, text = mutant.path, mutant.mutated()
    read_text, get_code = pathlib.Path.read_text, SourceFileLoader.get_code

    def read(self: pathlib.Path, *args: object, **kwargs: object) -> str:
        return text if self == path else read_text(self, *args, **kwargs)  # type: ignore[arg-type]

    def code_of(self: SourceFileLoader, fullname: str) -> CodeType | None:
        return compile(text, self.path, "exec") if self.path == str(path) else get_code(self, fullname)

    pathlib.Path.read_text = read  # type: ignore[method-assign, assignment]
    SourceFileLoader.get_code = code_of  # type: ignore[method-assign, assignment]
