"""Names and limits of the simulated deployment."""

from __future__ import annotations

INSTANCE = "sim"
"""The deployment."""

QUEUES = ("celery", "overflow", "spot")
"""The queues of the workers."""

MOST = {"overflow>celery": 1, "spot>celery": 2}
"""How many attempts may be on a target of a route."""

WARM_PROFILE = "quick"
"""The profile, and the queue, of the pods that may wait for an attempt."""
