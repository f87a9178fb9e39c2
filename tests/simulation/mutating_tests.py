"""Runs the ordinary test of a guard without the guard, for guards whose absence histories do not notice.

The tests run in a copy of the tree, so that the processes that they start have the mutated file too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.simulation.mutant import ROOT, Mutant

_ALL_PASSED, _SOME_FAILED = 0, 1
_LAST_LINES = 15
_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "node_modules")


def run_tests_of(mutants: Sequence[Mutant]) -> int:
    """Run each mutant's test; return how many of them do not notice it."""
    tested = [mutant for mutant in mutants if mutant.test]
    if not tested:
        print("None of these mutants names a test")
        return 0
    with tempfile.TemporaryDirectory(prefix="hybrid-mutants-") as folder:
        copy = Path(folder, "tree")
        shutil.copytree(ROOT, copy, ignore=_NOT_COPIED)
        done = _run(copy, sorted({mutant.test for mutant in tested}))
        if done.returncode != _ALL_PASSED:
            print("Some of the tests fail with all guards in place:\n" + _end_of(done))
            return len(tested)
        missed = 0
        for mutant in tested:
            missed += not _is_noticed(copy, mutant)
    print(f"{missed} mutants were not noticed by their test")
    return missed


def _is_noticed(copy: Path, mutant: Mutant) -> bool:
    path, began = copy / mutant.file, time.perf_counter()
    original = path.read_text(encoding="utf-8")
    path.write_text(mutant.mutated(), encoding="utf-8")
    done = _run(copy, [mutant.test])
    path.write_text(original, encoding="utf-8")
    is_noticed = done.returncode == _SOME_FAILED
    words = "noticed by" if is_noticed else "NOT NOTICED by"
    print(f"{mutant.name}: {words} {mutant.test}  {time.perf_counter() - began:.0f} s", flush=True)
    if done.returncode not in (_ALL_PASSED, _SOME_FAILED):
        print(_end_of(done), flush=True)
    return is_noticed


def _run(copy: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(copy), str(copy / "workers")))}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)  # noqa: S603


def _end_of(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join([*done.stdout.splitlines(), *done.stderr.splitlines()][-_LAST_LINES:])
