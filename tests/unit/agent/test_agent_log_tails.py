"""The lines of a container that go with a reason."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.agent.identity import PodIdentity
from hybrid_executor.agent.watch.decision import Sighting
from hybrid_executor.agent.watch.log_tails import shorten, wants_log, with_lines
from hybrid_executor.events import AttemptId
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.diagnosis import Diagnosis

HEADER = "eyJhbGciOiJIUzI1NiJ9"


def test_the_last_ten_lines_that_are_not_empty_are_shown() -> None:
    text = "\n\n".join(f"line {number}  " for number in range(30)) + "\n\n"
    assert shorten(text).splitlines() == [f"line {number}" for number in range(20, 30)]
    assert shorten("") == shorten("\n \n") == ""


def test_of_a_long_line_the_end_is_shown() -> None:
    shown = shorten("begins" + "x" * 16_000 + " ends")
    assert (len(shown), shown[:3], shown[-5:]) == (2_000, "...", " ends")


@pytest.mark.parametrize("token", [f"{HEADER}.eyJzdWIiOiJ4In0.c2ln", f"{HEADER}.eyJzd", HEADER, HEADER[:12]])
def test_a_token_or_its_beginning_is_hidden(token: str) -> None:
    assert shorten(f"args --token {token}\nend") == "args --token <hidden>\nend"


def test_what_no_database_and_no_terminal_takes_is_replaced() -> None:
    assert shorten("a\x00b\x1b[31mred\x1b[0m\x07\tc") == "a\ufffdbred\ufffd\tc"


def test_lines_follow_the_reason_unless_it_holds_them() -> None:
    assert with_lines("It failed.", container="base", lines="a\nb") == (
        "It failed.\nLast lines of container base:\na\nb"
    )
    assert with_lines("It failed: a b", container="base", lines="a\nb") == "It failed: a b"
    assert with_lines("It failed.", container="base", lines="") == "It failed."


@pytest.mark.parametrize(
    ("diagnosis", "is_gone", "wanted"),
    [
        ({"exit_code": 3, "container": "base", "reason": "Error"}, False, True),
        ({"exit_code": 2, "container": "fetch", "reason": "Error"}, False, True),
        ({"exit_code": 3, "container": "base", "reason": "Error"}, True, False),
        ({"exit_code": 128, "container": "base", "reason": "StartError"}, False, False),
        ({"exit_code": 137, "container": "base", "reason": "ContainerStatusUnknown"}, False, False),
        ({"container": "base", "reason": "ErrImagePull"}, False, False),
        ({"reason": "Evicted"}, False, False),
    ],
)
def test_a_log_is_read_where_a_container_of_the_pod_has_failed(
    diagnosis: dict[str, Any], is_gone: bool, wanted: bool
) -> None:
    identity = PodIdentity(AttemptId("a"), 0, 1, "ns", "pod", "uid", "5")
    seen = Sighting(identity, Diagnosis("failed", Category.EXIT_NONZERO, **diagnosis), is_gone=is_gone)
    assert wants_log(seen) is wanted


def test_a_success_needs_no_log() -> None:
    identity = PodIdentity(AttemptId("a"), 0, 1, "ns", "pod", "uid", "5")
    done = Diagnosis("succeeded", Category.COMPLETED, container="base", exit_code=0)
    assert not wants_log(Sighting(identity, done))
