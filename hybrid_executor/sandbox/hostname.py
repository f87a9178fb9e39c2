"""The host name that a task in a sandbox pod reports: the pod's, as it would be in a real one.

Named by ``[core] hostname_callable`` in the environment of the pods. Imports next to nothing, since tasks import it.
"""

from __future__ import annotations

import os
import socket

POD_NAME_VARIABLE = "HYBRID_SANDBOX_POD"
"""Holds the pod's name in the environment of its processes, and of no others."""


def pod_hostname() -> str:
    """Return the pod's name inside of a sandbox pod, elsewhere the machine's full name."""
    return os.environ.get(POD_NAME_VARIABLE) or socket.getfqdn()
