"""A few hundred histories, each from a seed: `make simulate` runs more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutant import Mutant
from tests.simulation.mutants import MUTANTS
from tests.simulation.plan import make_plan

_ROOT = Path(__file__).parents[2]


def _simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, whose clocks, threads and hashes it replaces."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False
    )


def test_nothing_is_lost_or_run_twice_whatever_order_and_faults_a_seed_chooses() -> None:
    done = _simulate("--seeds", "200", "--first", "7", "--twice")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "200 histories, 0 failed" in done.stdout


def test_a_removed_guard_is_noticed_and_is_the_same_on_a_real_server() -> None:
    done = _simulate("--mutants", "a claim takes what runs or has ended", "--redis", "valkey")
    assert done.returncode == 0, done.stdout + done.stderr
    found, there = (line for line in done.stdout.splitlines() if "is run again although its task had started" in line)
    assert found.startswith("a claim takes what runs or has ended: after ")
    assert there.startswith("On a real Valkey it is the same: ")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_replaces_what_is_there(mutant: Mutant) -> None:
    assert mutant.mutated() != mutant.path.read_text(encoding="utf-8")


def test_plans_of_different_seeds_differ_and_those_of_one_seed_do_not() -> None:
    assert make_plan(1) == make_plan(1)
    assert make_plan(1) != make_plan(2)
