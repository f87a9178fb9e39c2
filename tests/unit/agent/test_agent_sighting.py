"""What is seen of a pod that cannot be understood: nothing, and nobody else is held up."""

from __future__ import annotations

from hybrid_executor.agent.identity import ANNOTATION_GENERATION
from hybrid_executor.agent.sighting import sight_safely


def test_a_pod_whose_status_nobody_understands_is_left_as_it_is() -> None:
    odd = {
        "metadata": {"name": "odd", "annotations": {"hybrid-executor/attempt": "a", ANNOTATION_GENERATION: "1"}},
        "status": {"phase": "Running", "containerStatuses": 7, "conditions": 7},
    }
    assert sight_safely(odd) is None
    assert sight_safely({**odd, "status": {"phase": "Pending"}}) is not None
