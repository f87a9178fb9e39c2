"""The places in Airflow that parsed parents rely on. Where one is missing, tasks go the ordinary way."""

from __future__ import annotations

import inspect
import os
import signal
import socket
import sys
from typing import Any

_FORK_MAIN = ["requests", "child_stdout", "child_stderr", "log_fd", "target"]


def find_missing_seam() -> str:
    """Return what this platform or this Airflow lacks for parsed parents, "" if all is there."""
    if not sys.platform.startswith("linux"):
        return "Linux"
    for module, name in ((os, "pidfd_open"), (os, "memfd_create"), (signal, "pidfd_send_signal"), (socket, "send_fds")):
        if not hasattr(module, name):
            return f"{module.__name__}.{name}"
    try:
        from airflow.dag_processing.bundles.local import LocalDagBundle  # noqa: F401
        from airflow.dag_processing.bundles.manager import DagBundlesManager  # noqa: F401
        from airflow.dag_processing.importers import get_importer_registry
        from airflow.sdk._shared.secrets_masker import _secrets_masker, reset_secrets_masker  # noqa: F401
        from airflow.sdk.execution_time import supervisor, task_runner
    except ImportError as error:
        return str(error)
    sdk: Any = supervisor
    if list(inspect.signature(getattr(sdk, "_fork_main", lambda: None)).parameters) != _FORK_MAIN:
        return "supervisor._fork_main as it was"
    wanted = ("_on_child_started", "_register_pipe_readers", "start")
    for owner, names in (
        (sdk, ("_subprocess_main", "ActivitySubprocess")),
        (sdk.ActivitySubprocess, wanted),
        (task_runner, ("main", "parse")),
        (get_importer_registry(), ("get_importer", "register")),
    ):
        if lacking := next((name for name in names if not hasattr(owner, name)), ""):
            return f"{getattr(owner, '__name__', type(owner).__name__)}.{lacking}"
    return ""
