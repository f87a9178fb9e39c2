"""A check that raises, hangs or has no time left keeps no other check from its result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from hybrid_executor.doctor.findings import Finding, failure, has_failed, ok, warning
from hybrid_executor.doctor.rounds import Check, Subject, examine_all
from hybrid_executor.errors import ConfigError

FOR_EVER = 60.0


@pytest.fixture
def stuck() -> Iterator[Callable[[], list[Finding]]]:
    """A check that hangs until the test has ended."""
    end = threading.Event()

    def hang() -> list[Finding]:
        end.wait(FOR_EVER)
        return []

    yield hang
    end.set()


def well() -> list[Finding]:
    return [ok("well", "it is")]


def told(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.subject, finding.level, finding.check) for finding in findings]


def test_a_check_that_hangs_is_a_failure_and_the_others_go_on(stuck: Callable[[], list[Finding]]) -> None:
    hangs = Check(name="hangs", run=stuck, seconds=0.2)
    subject = Subject(part="redis", name="a", checks=[hangs, Check(name="well", run=well)])
    found = examine_all([subject])
    assert told(found) == [("a", "failure", "hangs"), ("a", "ok", "well")]
    assert found[0].what.startswith("no result within 0 s")
    assert found[0].cure


def test_a_check_that_raises_is_a_failure_with_its_error() -> None:
    def raises() -> list[Finding]:
        raise ZeroDivisionError("by nought")

    def misconfigured() -> list[Finding]:
        raise ConfigError("[x] y is not valid: write z.")

    checks = [Check(name="raises", run=raises), Check(name="wrong", run=misconfigured), Check(name="well", run=well)]
    found = examine_all([Subject(part="redis", name="a", checks=checks)])
    assert [finding.level for finding in found] == ["failure", "failure", "ok"]
    assert "ZeroDivisionError: by nought" in found[0].what
    assert found[1].what == "[x] y is not valid: write z"


def test_after_a_failed_gate_the_rest_is_named_and_not_tried() -> None:
    gate = Check(name="reachable", run=lambda: [failure("reachable", "no", "start it")], is_gate=True)
    never = Check(name="never", run=lambda: [failure("never", "it was tried", "")])
    other = Subject(part="workers", name="b", checks=[Check(name="well", run=well)])
    found = examine_all([Subject(part="redis", name="a", checks=[gate, never]), other])
    assert told(found) == [("a", "failure", "reachable"), ("a", "unknown", "not checked"), ("b", "ok", "well")]
    assert found[1].what == "never: see the failure above"


def test_a_gate_that_hangs_is_waited_for_once(stuck: Callable[[], list[Finding]]) -> None:
    gate = Check(name="reachable", run=stuck, is_gate=True, seconds=0.2)
    found = examine_all([Subject(part="redis", name="a", checks=[gate, Check(name="well", run=well)])])
    assert told(found) == [("a", "failure", "reachable"), ("a", "unknown", "not checked")]


def test_a_server_gets_no_more_than_its_time(stuck: Callable[[], list[Finding]]) -> None:
    slow = [Check(name=f"slow-{number}", run=stuck, seconds=FOR_EVER) for number in range(3)]
    found = examine_all([Subject(part="redis", name="a", checks=slow)], subject_seconds=0.3)
    assert told(found) == [("a", "failure", "slow-0"), ("a", "failure", "time")]
    assert found[1].what == "there was no time left to check: slow-1, slow-2"


def test_warnings_count_only_where_that_is_asked_for() -> None:
    only = [warning("x", "y", "z")]
    assert (has_failed(only), has_failed(only, is_strict=True)) == (False, True)
    assert has_failed([failure("x", "y", "z")])
