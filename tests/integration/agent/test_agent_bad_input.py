"""What cannot be run fails alone, in words that say what is wrong."""

from __future__ import annotations

import pytest

from hybrid_executor.states import State
from tests.integration.agent.conftest import World, wait_until


def test_an_image_name_that_is_invalid_fails_its_task_with_that_name(world: World) -> None:
    world.start_agent()
    invalid = {"spec": {"containers": [{"name": "base", "image": "Not An Image!"}]}}
    bad, good = world.submit(pod=invalid), world.submit()
    [record] = world.wait_for(State.FAILED, bad)
    assert record.category == "image_invalid"
    assert "Not An Image!" in record.reason
    assert record.launches == 0
    world.wait_for(State.SUCCEEDED, good)
    wait_until(lambda: not world.pods(), what="the pod that can never start to be deleted")


def test_a_template_that_is_missing_is_told_at_start_and_by_each_task_that_fails(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.start_agent(kubernetes={"pod_template_file": "/nowhere/template.yaml"})
    told = [entry.getMessage() for entry in caplog.records if "pod template" in entry.getMessage()]
    assert len(told) == 1
    assert "/nowhere/template.yaml" in told[0]
    [record] = world.wait_for(State.FAILED, world.submit())
    assert "/nowhere/template.yaml" in record.reason
    assert "pod_template_file" in record.reason


def test_a_template_that_is_repaired_is_used_at_once(world: World) -> None:
    working = world.template.read_text()
    world.template.write_text("spec: [")
    world.start_agent()
    [record] = world.wait_for(State.FAILED, world.submit())
    assert str(world.template) in record.reason
    world.template.write_text(working)
    world.wait_for(State.SUCCEEDED, world.submit())
