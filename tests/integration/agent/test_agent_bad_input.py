"""What cannot be run fails alone, in words that say what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hybrid_executor.states import State
from tests.integration.agent.conftest import World, wait_until
from tests.kube_front import KubeFront


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


def test_misspelt_fields_of_a_template_are_told_at_start_and_the_api_s_own_warning_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.template.write_text(world.template.read_text() + "  tolerationz: []\n")
    world.start_agent()
    assert "spec.tolerationz is not a field of the installed kubernetes library: did you mean tolerations?" in (
        caplog.text
    )
    world.wait_for(State.SUCCEEDED, world.submit(count=3))
    warned = [text for text in caplog.messages if 'unknown field "spec.tolerationz"' in text]
    assert len(warned) == 1
    assert warned[0].startswith("The Kubernetes API warns")


def test_a_template_that_asks_for_restarts_runs_its_task_once(world: World) -> None:
    world.template.write_text(world.template.read_text().replace("restartPolicy: Never", "restartPolicy: Always"))
    ran = world.directory / "ran"
    world.start_agent()
    world.wait_for(State.SUCCEEDED, world.submit(f"echo ran >> {ran}"))
    assert ran.read_text() == "ran\n"


@pytest.fixture
def front(world: World) -> Iterator[KubeFront]:
    opened = KubeFront(world.sandbox, world.directory)
    opened.tokens = {"t"}
    yield opened
    world.stop_agents()
    opened.close()


def test_a_pod_that_a_webhook_makes_restart_fails_its_task_with_words(world: World, front: KubeFront) -> None:
    front.webhook = lambda created: created.get("spec", {}).update(restartPolicy="Always")
    world.start_agent(kubernetes={"config_file": str(front.write_kubeconfig({"token": "t"}))})
    for record in world.wait_for(State.FAILED, world.submit("sleep 30", count=3)):
        assert "from Never to Always" in record.reason
        assert "Exclude pods with the label hybrid-executor/instance" in record.reason
        assert "failed" in world.states(record.id)
    wait_until(lambda: not world.pods(), what="the pods to be deleted")
    wait_until(world.launch_stream_is_empty, what="the launch to be acknowledged")
