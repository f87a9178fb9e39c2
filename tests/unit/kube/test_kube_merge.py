"""How one pod is laid over another."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hybrid_executor.kube.merge import merge_container, merge_containers, merge_pods


def test_labels_and_annotations_are_joined_and_the_later_value_wins() -> None:
    merged = merge_pods(
        {"metadata": {"labels": {"a": "1", "b": "1"}, "annotations": {"x": "1"}}},
        {"metadata": {"labels": {"b": "2"}, "annotations": {"y": "2"}}},
    )
    assert merged["metadata"] == {"labels": {"a": "1", "b": "2"}, "annotations": {"x": "1", "y": "2"}}


def test_lists_of_a_container_are_appended_and_other_fields_replaced_whole() -> None:
    merged = merge_container(
        {
            "name": "base",
            "image": "old",
            "env": [{"name": "A", "value": "1"}],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "resources": {"requests": {"cpu": "1"}},
        },
        {
            "name": "base",
            "image": "new",
            "env": [{"name": "A", "value": "2"}],
            "volumeMounts": [{"name": "w", "mountPath": "/w"}],
            "resources": {"limits": {"cpu": "2"}},
        },
    )
    assert merged == {
        "name": "base",
        "image": "new",
        "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/w"}],
        "resources": {"limits": {"cpu": "2"}},
    }


def test_volumes_are_appended_and_one_that_is_there_already_is_kept_once() -> None:
    dags, logs = {"name": "dags", "emptyDir": {}}, {"name": "logs", "emptyDir": {}}
    merged = merge_pods({"spec": {"volumes": [dags]}}, {"spec": {"volumes": [dags, logs]}})
    assert merged["spec"]["volumes"] == [dags, logs]


def test_false_zero_and_empty_text_win_but_an_empty_list_or_mapping_does_not() -> None:
    earlier = {
        "spec": {
            "hostNetwork": True,
            "priority": 5,
            "hostname": "h",
            "nodeSelector": {"a": "b"},
            "tolerations": [{"key": "k"}],
        }
    }
    later: dict[str, Any] = {
        "spec": {"hostNetwork": False, "priority": 0, "hostname": "", "nodeSelector": {}, "tolerations": []}
    }
    assert merge_pods(earlier, later)["spec"] == {
        "hostNetwork": False,
        "priority": 0,
        "hostname": "",
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "k"}],
    }


def test_none_is_unset() -> None:
    assert merge_pods({"spec": {"hostname": "h"}}, {"spec": {"hostname": None}})["spec"] == {"hostname": "h"}


def test_containers_are_paired_by_name_whatever_their_order() -> None:
    merged = merge_containers(
        [{"name": "sidecar", "image": "s"}, {"name": "base", "image": "b"}],
        [{"name": "base", "image": "new"}, {"name": "more", "image": "m"}],
    )
    assert merged == [
        {"name": "sidecar", "image": "s"},
        {"name": "base", "image": "new"},
        {"name": "more", "image": "m"},
    ]


def test_containers_without_a_name_are_paired_by_position() -> None:
    assert merge_containers([{"name": "base", "image": "b"}], [{"image": "new"}]) == [{"name": "base", "image": "new"}]
    assert merge_containers([{"image": "b"}], [{"name": "base"}]) == [{"name": "base", "image": "b"}]


def test_init_containers_are_appended_and_merged_where_the_name_is_the_same() -> None:
    merged = merge_pods(
        {"spec": {"initContainers": [{"name": "git", "image": "1"}]}},
        {"spec": {"initContainers": [{"name": "wait", "image": "2"}, {"name": "git", "image": "3"}]}},
    )
    assert merged["spec"]["initContainers"] == [{"name": "git", "image": "3"}, {"name": "wait", "image": "2"}]


VALUES = st.one_of(st.text(max_size=3), st.booleans(), st.integers(0, 3))
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["base", "s1", "s2"])},
        optional={
            "image": st.text(max_size=3),
            "env": st.lists(st.fixed_dictionaries({"name": st.text(max_size=2)}), max_size=2),
        },
    ),
    max_size=3,
    unique_by=lambda container: container["name"],
)
PODS = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries(
            {}, optional={"labels": st.dictionaries(st.text(max_size=2), st.text(max_size=2))}
        ),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "containers": CONTAINERS,
                "hostNetwork": st.booleans(),
                "volumes": st.lists(st.fixed_dictionaries({"name": st.text(max_size=2)}), max_size=2),
            },
        ),
    },
)


@given(PODS, PODS)
def test_merging_changes_neither_pod(earlier: dict[str, Any], later: dict[str, Any]) -> None:
    before = copy.deepcopy((earlier, later))
    merge_pods(earlier, later)
    assert (earlier, later) == before


@given(PODS)
def test_nothing_laid_over_a_pod_or_under_it_leaves_it_as_it_is(pod: dict[str, Any]) -> None:
    assert merge_pods(pod, {}) == pod
    assert merge_pods({}, pod) == pod


@given(PODS, PODS)
def test_laying_the_same_pod_over_twice_is_the_same_as_once(earlier: dict[str, Any], later: dict[str, Any]) -> None:
    once = merge_pods(earlier, later)
    assert merge_pods(once, later) == once
