"""A sandbox in which things can be made to go wrong: requests by rules, watches, the API, pods and the node."""

from __future__ import annotations

from tests.faulty_sandbox.faults import FaultySandbox
from tests.faulty_sandbox.rules import Fault

__all__ = ["Fault", "FaultySandbox"]
