"""Processes beside the worker: the server of running tasks' logs, and the clean-up of Dag bundles nobody uses."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)

_GRACE_SECONDS = 5.0


@contextmanager
def sidecars(*, serves_logs: bool, bundle_cleanup_seconds: int) -> Iterator[None]:
    """Run the processes for as long as the context lasts.

    :param serves_logs: whether running tasks' logs are served.
    :param bundle_cleanup_seconds: how often stale bundles are removed; 0 for never.
    """
    processes = []
    if serves_logs:
        processes.append(multiprocessing.Process(target=_serve_logs, name="log server"))
    if bundle_cleanup_seconds > 0:
        processes.append(
            multiprocessing.Process(target=_clean_bundles, args=(bundle_cleanup_seconds,), name="bundle clean-up")
        )
    for process in processes:
        process.start()
        log.info("Started the %s", process.name)
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_GRACE_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()


def _serve_logs() -> None:
    from airflow.utils.serve_logs import serve_logs

    serve: Any = serve_logs
    serve()


def _clean_bundles(seconds: int) -> None:
    from airflow.dag_processing.bundles.base import BundleUsageTrackingManager

    bundles: Any = BundleUsageTrackingManager()
    while True:
        time.sleep(seconds)
        bundles.remove_stale_bundle_versions()
