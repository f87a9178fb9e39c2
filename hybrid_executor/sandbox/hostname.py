"""The host name that a task in a sandbox pod reports: the name of the pod, as in a real pod.

Pods have it as ``[core] hostname_callable`` in their environment. It imports little, since tasks import it.
"""

from __future__ import annotations

import os
import socket

POD_NAME_VARIABLE = "HYBRID_SANDBOX_POD"
"""Environment variable with the pod's name; only processes of a pod have it."""


def pod_hostname() -> str:
    """Return the pod's name in a sandbox pod, else the full name of the machine."""
    return os.environ.get(POD_NAME_VARIABLE) or socket.getfqdn()
