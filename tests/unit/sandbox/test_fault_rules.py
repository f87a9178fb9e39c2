"""Fault rules: what they match, how often they strike, and what requests are about."""

from __future__ import annotations

import pytest

from hybrid_executor.sandbox.request_info import RequestInfo, access_denied, request_info
from tests.faulty_sandbox.rules import Denial, Fault, FaultRules

CREATE = request_info("POST", "/api/v1/namespaces/ns/pods", {})
WATCH = request_info("GET", "/api/v1/namespaces/ns/pods", {"watch": "true"})


@pytest.mark.parametrize(
    ("method", "path", "params", "said"),
    [
        ("GET", "/api/v1/pods", {}, ("list", "pods", "", "")),
        ("GET", "/api/v1/namespaces/ns/pods", {"watch": "1"}, ("watch", "pods", "ns", "")),
        ("GET", "/api/v1/namespaces/ns/pods/one", {}, ("get", "pods", "ns", "one")),
        ("GET", "/api/v1/namespaces/ns/pods/one/log", {}, ("get", "pods/log", "ns", "one")),
        ("POST", "/api/v1/namespaces/ns/pods/one/eviction", {}, ("create", "pods/eviction", "ns", "one")),
        ("PATCH", "/api/v1/namespaces/ns/pods/one/status", {}, ("patch", "pods/status", "ns", "one")),
        ("DELETE", "/api/v1/namespaces/ns/pods", {}, ("deletecollection", "pods", "ns", "")),
        ("DELETE", "/api/v1/namespaces/ns", {}, ("delete", "namespaces", "ns", "ns")),
        ("POST", "/api/v1/namespaces", {}, ("create", "namespaces", "", "")),
        (
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            {},
            ("create", "selfsubjectaccessreviews", "", ""),
        ),
        ("GET", "/api/v1", {}, ("get", "", "", "")),
    ],
)
def test_a_request_is_read_in_the_words_of_roles(
    method: str, path: str, params: dict[str, str], said: tuple[str, str, str, str]
) -> None:
    info = request_info(method, path, params)
    assert (info.verb, info.full_resource, info.namespace, info.name) == said


def test_a_denied_request_is_refused_in_rbacs_words() -> None:
    info = RequestInfo("GET", "/x", "get", resource="pods", subresource="log", namespace="ns", name="one")
    error = access_denied(info, "me")
    assert error.message == (
        'pods "one" is forbidden: User "me" cannot get resource "pods/log" in API group "" in the namespace "ns"'
    )
    assert "at the cluster scope" in access_denied(request_info("GET", "/api/v1/pods", {}), "me").message


def test_a_rule_strikes_as_often_as_it_says_after_what_it_skips() -> None:
    rules = FaultRules()
    fault_id = rules.add(Fault("status", verb="create", skip=1, times=2))
    struck = [bool(rules.strike(CREATE)) for _ in range(5)]
    assert struck == [False, True, True, False, False]
    assert rules.hits(fault_id) == 2
    assert rules.strike(WATCH) == []


def test_slow_rules_add_up_and_the_first_other_one_decides() -> None:
    rules = FaultRules()
    for fault in (Fault("slow"), Fault("drop"), Fault("status")):
        rules.add(fault)
    assert [fault.action for fault in rules.strike(CREATE)] == ["slow", "drop"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("drop", verb="delete"),
        Fault("drop", resource="pods/log"),
        Fault("drop", path="/other"),
        Fault("drop", namespace="other"),
        Fault("drop", method="PUT"),
    ],
)
def test_a_rule_strikes_only_what_all_its_conditions_match(fault: Fault) -> None:
    rules = FaultRules()
    rules.add(fault)
    assert rules.strike(CREATE) == []


def test_rules_that_are_taken_back_strike_no_more_and_keep_their_count() -> None:
    rules = FaultRules()
    fault_id = rules.add(Fault("drop"))
    rules.strike(CREATE)
    rules.remove(fault_id)
    assert rules.strike(CREATE) == []
    assert rules.hits(fault_id) == 1


def test_denials_cover_verbs_resources_and_namespaces() -> None:
    rules = FaultRules()
    rules.deny(Denial("delete", "pods", "ns"))
    rules.deny(Denial("*", "secrets"))
    assert rules.is_denied(verb="delete", resource="pods", namespace="ns")
    assert not rules.is_denied(verb="delete", resource="pods", namespace="other")
    assert rules.is_denied(verb="get", resource="secrets", namespace="any")
    rules.clear()
    assert not rules.is_denied(verb="get", resource="secrets", namespace="any")
