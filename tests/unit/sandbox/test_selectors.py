"""Selectors: what they match and which texts are none."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.sandbox.selectors import field_selector, label_selector
from hybrid_executor.sandbox.status import StatusError


def pod(labels: dict[str, str] | None = None, phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"name": "one", "labels": labels}, "spec": {}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ("", None, True),
        ("a=1", {"a": "1"}, True),
        ("a==1", {"a": "2"}, False),
        ("a!=1", {"a": "1"}, False),
        ("a!=1", None, True),
        ("a in (1, 2)", {"a": "2"}, True),
        ("a in (1,2)", {"a": "3"}, False),
        ("a notin (1,2)", {"a": "3"}, True),
        ("a notin (1,2)", {}, True),
        ("a notin (1,2)", {"a": "1"}, False),
        ("a", {"a": ""}, True),
        ("a", {"b": ""}, False),
        ("!a", {"b": ""}, True),
        ("!a", {"a": ""}, False),
        ("a=", {"a": ""}, True),
        ("hybrid-executor/queue=q.1,!done", {"hybrid-executor/queue": "q.1"}, True),
        ("a=1,b=2", {"a": "1"}, False),
    ],
)
def test_a_label_selector_matches_as_the_api_does(selector: str, labels: dict[str, str] | None, matches: bool) -> None:
    assert label_selector(selector)(pod(labels)) is matches


@pytest.mark.parametrize("text", ["a===b", "a in 1", "a in (1", "=b", "a b", "a in ()", ","])
def test_a_text_that_is_no_label_selector_is_a_bad_request(text: str) -> None:
    with pytest.raises(StatusError, match="unable to parse requirement") as caught:
        label_selector(text)
    assert caught.value.code == 400


def test_a_field_selector_compares_fields_and_takes_missing_ones_as_empty() -> None:
    assert field_selector("status.phase=Running,metadata.name==one", "pods")(pod())
    assert not field_selector("status.phase!=Running", "pods")(pod())
    assert field_selector("spec.nodeName=", "pods")(pod())


def test_a_field_that_cannot_be_selected_on_is_a_bad_request() -> None:
    with pytest.raises(StatusError, match=r"field label not supported: status\.reason"):
        field_selector("status.reason=Evicted", "pods")
    with pytest.raises(StatusError, match=r"field label not supported: status\.phase"):
        field_selector("status.phase=Running", "secrets")
    with pytest.raises(StatusError, match="invalid selector"):
        field_selector("status.phase", "pods")


def test_events_can_be_selected_by_the_object_they_are_about() -> None:
    event = {"metadata": {"name": "e"}, "involvedObject": {"name": "one"}}
    assert field_selector("involvedObject.name=one", "events")(event)
    assert not field_selector("involvedObject.name=two", "events")(event)
