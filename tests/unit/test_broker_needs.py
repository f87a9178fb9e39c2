"""What a worker's user needs at the broker, by the release of kombu and the configuration."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.store import Needs, broker_needs


def needs(**changes: Any) -> Needs:
    usual: dict[str, Any] = {
        "prefix": "",
        "unacked_key": "unacked",
        "fanout_prefix": "/0.",
        "queues": ["default"],
        "name": "w@h",
        "has_remote_control": True,
        "kombu_version": (5, 7),
    }
    return broker_needs(**{**usual, **changes})


@pytest.mark.parametrize(("version", "is_needed"), [((5, 5), True), ((5, 6), True), ((5, 7), False), ((6, 0), False)])
def test_the_command_for_overdue_messages_depends_on_kombu(version: tuple[int, int], is_needed: bool) -> None:
    assert ("ZREVRANGEBYSCORE" in needs(kombu_version=version).commands) is is_needed


def test_a_prefix_stands_before_every_key_and_channel() -> None:
    found = needs(prefix="mine:")
    assert found.trial_key.startswith("mine:")
    assert all(pattern.startswith("mine:") and key.startswith("mine:") for pattern, key in found.keys)
    assert found.channels == ["mine:/0.celery.pidbox"]


def test_without_remote_control_no_channel_is_needed() -> None:
    found = needs(has_remote_control=False)
    assert found.channels == []
    assert [pattern for pattern, _ in found.keys] == ["default*", "_kombu.binding*", "unacked*"]
