"""Patches: what each format joins, replaces and removes."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.sandbox.patching import json_patch, merge_patch, strategic_merge_patch
from hybrid_executor.sandbox.status import StatusError

POD: dict[str, Any] = {
    "metadata": {"labels": {"a": "1"}, "finalizers": ["keep"]},
    "spec": {"containers": [{"name": "base", "image": "x", "env": [{"name": "A", "value": "1"}]}]},
    "status": {
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "base"}, {"name": "other"}],
    },
}


def test_a_merge_patch_joins_objects_and_replaces_lists() -> None:
    patched = merge_patch(POD, {"metadata": {"labels": {"b": "2"}}, "spec": {"containers": []}})
    assert patched["metadata"]["labels"] == {"a": "1", "b": "2"}
    assert patched["spec"]["containers"] == []


def test_a_merge_patch_removes_what_it_sets_to_null() -> None:
    assert merge_patch(POD, {"metadata": {"labels": {"a": None}}})["metadata"]["labels"] == {}


def test_a_patch_leaves_the_original_as_it_was() -> None:
    before = repr(POD)
    merge_patch(POD, {"metadata": {"labels": {"a": "9"}}})
    strategic_merge_patch(POD, {"spec": {"containers": [{"name": "base", "image": "y"}]}})
    json_patch(POD, [{"op": "remove", "path": "/spec/containers/0"}])
    assert repr(POD) == before


def test_a_strategic_patch_joins_containers_and_their_variables_by_name() -> None:
    patch = {"spec": {"containers": [{"name": "base", "env": [{"name": "B", "value": "2"}]}, {"name": "side"}]}}
    base, side = strategic_merge_patch(POD, patch)["spec"]["containers"]
    assert base == {
        "name": "base",
        "image": "x",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
    }
    assert side == {"name": "side"}


def test_a_strategic_patch_joins_conditions_by_type() -> None:
    patch = {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Initialized"}]}}
    conditions = strategic_merge_patch(POD, patch)["status"]["conditions"]
    assert conditions == [{"type": "Ready", "status": "True"}, {"type": "Initialized"}]


def test_a_strategic_patch_replaces_container_statuses_whole() -> None:
    patched = strategic_merge_patch(POD, {"status": {"containerStatuses": [{"name": "new"}]}})
    assert patched["status"]["containerStatuses"] == [{"name": "new"}]


def test_a_strategic_patch_obeys_delete_and_replace_directives() -> None:
    deleted = strategic_merge_patch(POD, {"spec": {"containers": [{"name": "base", "$patch": "delete"}]}})
    assert deleted["spec"]["containers"] == []
    replaced = strategic_merge_patch(POD, {"metadata": {"labels": {"$patch": "replace", "z": "1"}}})
    assert replaced["metadata"]["labels"] == {"z": "1"}


def test_a_strategic_patch_adds_to_and_deletes_from_finalizers() -> None:
    added = strategic_merge_patch(POD, {"metadata": {"finalizers": ["more"]}})
    assert added["metadata"]["finalizers"] == ["keep", "more"]
    removed = strategic_merge_patch(POD, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["keep"]}})
    assert removed["metadata"]["finalizers"] == []


def test_a_strategic_patch_without_the_merge_key_is_refused() -> None:
    with pytest.raises(StatusError) as caught:
        strategic_merge_patch(POD, {"spec": {"containers": [{"image": "y"}]}})
    assert caught.value.code == 400


def test_a_json_patch_runs_its_operations_in_order() -> None:
    operations = [
        {"op": "test", "path": "/metadata/labels/a", "value": "1"},
        {"op": "add", "path": "/metadata/labels/b~1c", "value": "2"},
        {"op": "move", "from": "/metadata/labels/a", "path": "/metadata/labels/d"},
        {"op": "add", "path": "/metadata/finalizers/-", "value": "last"},
        {"op": "copy", "from": "/metadata/finalizers/0", "path": "/metadata/finalizers/0"},
        {"op": "replace", "path": "/spec/containers/0/image", "value": "y"},
    ]
    patched = json_patch(POD, operations)
    assert patched["metadata"]["labels"] == {"b/c": "2", "d": "1"}
    assert patched["metadata"]["finalizers"] == ["keep", "keep", "last"]
    assert patched["spec"]["containers"][0]["image"] == "y"


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/metadata/labels/a", "value": "2"},
        {"op": "remove", "path": "/metadata/labels/nope"},
        {"op": "replace", "path": "/metadata/nope", "value": 1},
        {"op": "add", "path": "/spec/containers/7", "value": {}},
        {"op": "jump", "path": "/metadata"},
        {"op": "add", "path": "metadata", "value": 1},
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused_whole(operation: dict[str, Any]) -> None:
    with pytest.raises(StatusError) as caught:
        json_patch(POD, [operation])
    assert caught.value.code == 422
