"""Tasks of one worker draw different random numbers of numpy, also where the worker has imported it for them."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from hybrid_workers import numpy_chance


class Generator:
    """numpy's, as far as it is looked at: an untouched one stands at 623, a seeded one at 624."""

    def __init__(self, state: object) -> None:
        self.state, self.seeds = state, 0

    def get_state(self) -> object:
        return self.state

    def seed(self) -> None:
        self.seeds += 1


@pytest.fixture
def numpy(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Generator:
    generator = Generator(getattr(request, "param", ("MT19937", "key", 623, 0, 0.0)))
    monkeypatch.setitem(sys.modules, "numpy.random", generator)  # type: ignore[arg-type]
    return generator


def test_an_untouched_generator_is_seeded_anew_for_each_process(numpy: Generator) -> None:
    assert numpy_chance.is_untouched()
    numpy_chance.reseed()
    numpy_chance.reseed()
    assert numpy.seeds == 2


@pytest.mark.parametrize(
    "numpy",
    [("MT19937", "key", 624, 0, 0.0), ("MT19937", "key", 623, 1, 0.5), {"bit_generator": "PCG64"}],
    indirect=True,
    ids=["seeded", "used", "of another kind"],
)
def test_what_somebody_has_chosen_stays(numpy: Generator) -> None:
    assert not numpy_chance.is_untouched()
    numpy_chance.reseed()
    assert numpy.seeds == 0


def test_without_numpy_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy.random", raising=False)
    assert numpy_chance.is_untouched()
    numpy_chance.reseed()


def test_it_is_done_before_each_workload(numpy: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.executors.base_executor import BaseExecutor

    from hybrid_workers.workload import run_with_airflow

    at_start: list[int] = []

    def run(workload: Any, **named: Any) -> int:
        at_start.append(numpy.seeds)
        return 0

    monkeypatch.setattr(BaseExecutor, "run_workload", run, raising=False)
    workload: Any = None
    run_with_airflow(workload)
    run_with_airflow(workload)
    assert at_start == [1, 2]
