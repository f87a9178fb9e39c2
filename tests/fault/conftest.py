"""One whole deployment for all tests with the mark ``fault``: each of them leaves it healed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.fault.deployment import Deployment


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Deployment(tmp_path_factory.mktemp("faults"), schedulers=3, agents=2, workers=2) as running:
        yield running


@pytest.fixture
def deployment(_running: Deployment) -> Iterator[Deployment]:
    """Three schedulers, of which the first has an agent of its own, two more agents, and two workers."""
    yield _running
    with contextlib.suppress(AssertionError):
        _running.heal()
