"""A rolling upgrade and back: old and new schedulers, agents and workers work together, in any mixture.

``make test-fault FROM=v0.1.0`` takes a tag or a commit of this repository as the old release.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.fault.catalogue import HAPPENINGS
from tests.fault.course import course
from tests.fault.deployment import Deployment
from tests.fault.load import Load

NEW = Path(__file__).parents[2]
OLD = os.environ.get("HYBRID_TEST_FROM", "")
SEED = int(os.environ.get("HYBRID_TEST_SEED", "1"))
HARMLESS = (
    *("agent killed", "agent paused", "worker paused", "redis restarted", "redis frozen", "redis flushed"),
    *("redis failed over", "connections dropped", "cluster refuses", "answers lost", "watches cut"),
)
"""Faults that cost no try."""

pytestmark = [
    pytest.mark.fault,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not OLD,
        reason="git knows no release to upgrade from: name a tag or a commit, as in make test-fault FROM=v0.1.0",
    ),
]


@pytest.fixture(scope="module")
def old_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the old release."""
    tree = tmp_path_factory.mktemp("old")
    packed = subprocess.run(["git", "archive", OLD], cwd=NEW, capture_output=True)
    assert packed.returncode == 0, f"git fetch --tags may help: {packed.stderr.decode()}"
    subprocess.run(["tar", "-x", "-C", str(tree)], input=packed.stdout, check=True)
    return tree


@pytest.fixture
def mixed(old_tree: Path, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment that runs the old release everywhere."""
    names = ("scheduler-1", "scheduler-2", "agent-1", "agent-2", "worker-1", "worker-2", "api-server", "triggerer")
    trees = dict.fromkeys((*names, "dag-processor"), old_tree)
    with Deployment(tmp_path / "home", schedulers=2, agents=2, workers=2, trees=trees) as running:
        yield running


def test_parts_are_replaced_one_by_one_in_both_directions_and_no_try_is_spent(
    mixed: Deployment, old_tree: Path
) -> None:
    random = Random(SEED)
    with course(mixed, troubles=50) as load:
        for tree in (NEW, old_tree):
            # There is one API server, without which no task can start: it is replaced while none waits.
            load.wait(*load.runs)
            mixed.replace("api-server", tree)
            mixed.wait_ready()
            names = [*mixed.schedulers, *mixed.agents, *mixed.workers]
            random.shuffle(names)
            for name in names:
                keep_busy(load, random)
                mixed.replace(name, tree)
                if random.random() < 0.4:
                    what = random.choice(HARMLESS)
                    print(f"{name} is {'new' if tree == NEW else 'old'}; {what}", flush=True)
                    HAPPENINGS[what](mixed, random)
                time.sleep(random.uniform(0, 4))


def keep_busy(load: Load, random: Random) -> None:
    """Start a run unless enough are under way."""
    states = load.states(load.runs)
    if sum(states.get(run) not in ("success", "failed") for run in load.runs) < 3:
        load.start(random.choice(["load", "everything"]), seconds=random.uniform(0, 8))
