"""How often an account's right to hand workloads over is asked for."""

from __future__ import annotations

from typing import Any

from hybrid_executor.kube.rights import AttachRight


class _Api:
    """Answers reviews of rights."""

    def __init__(self) -> None:
        self.allows = False
        self.asked = 0

    def ask(self, *_: object, **__: object) -> dict[str, Any]:
        self.asked += 1
        return {"status": {"allowed": self.allows}}


def test_a_right_that_is_granted_is_used_within_seconds_and_one_that_is_there_is_asked_for_each_minute() -> None:
    api, now = _Api(), [100.0]
    right = AttachRight(api, clock=lambda: now[0])  # type: ignore[arg-type]
    assert not right.is_granted("ns")
    api.allows = True
    now[0] += 9
    assert not right.is_granted("ns")
    now[0] += 1
    assert right.is_granted("ns")
    asked = api.asked
    now[0] += 59
    assert right.is_granted("ns")
    assert api.asked == asked
    now[0] += 1
    assert right.is_granted("ns")
    assert api.asked > asked
