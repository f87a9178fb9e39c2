"""What is counted for an autoscaler, and the numbers that the page on deployment gives as examples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hybrid_executor.config import DictConfig, read_settings
from hybrid_executor.events import AttemptId
from hybrid_executor.insight.facts import Facts
from hybrid_executor.scaler.demand import ClusterDemand, count_demand
from hybrid_executor.states import State
from hybrid_executor.store import Record
from tests.keda import ScaledDeployment

SETTINGS = read_settings(DictConfig({"hybrid_executor": {"routes": "pods=kubernetes, *=celery"}}))
RECORD = Record(id=AttemptId("a"), state=State.SUBMITTED, generation=1, pool="celery", queue="q", submitted_at=1_000)


@pytest.mark.parametrize("state", [state for state in State if not state.is_terminal])
def test_every_attempt_that_has_not_ended_needs_a_slot(state: State) -> None:
    demand = count_demand(Facts(now=5_000, records=(replace(RECORD, state=state),)), SETTINGS)
    assert demand.queues["q"].value == 1


def test_the_age_is_that_of_the_first_that_waits() -> None:
    later = replace(RECORD, id=AttemptId("b"), submitted_at=3_000)
    assert count_demand(Facts(now=5_000, records=(later, RECORD)), SETTINGS).queues["q"].age == 4.0


def test_an_agent_is_needed_while_a_pod_is_to_be_watched() -> None:
    pod = replace(RECORD, pool="kubernetes", queue="pods", cluster="default", state=State.RUNNING)
    demand = count_demand(Facts(now=5_000, records=(pod,)), SETTINGS)
    assert demand.clusters == {"default": ClusterDemand(value=1, waiting=0, live=1)}
    assert demand.queues == {}


def test_the_examples_of_the_page_are_right() -> None:
    ten = ScaledDeployment(target=16, replicas=10)
    assert ten.poll(170, now=0) == 10
    assert ten.poll(177, now=1) == 12
    assert ScaledDeployment(target=16 * 0.9, replicas=10).poll(170, now=0) == 12
