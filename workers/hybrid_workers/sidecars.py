"""Processes beside the worker: the server of running tasks' logs, and the clean-up of Dag bundles nobody uses."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery import platforms  # type: ignore[import-untyped]

from hybrid_workers.titles import show_role

log = logging.getLogger(__name__)

_GRACE_SECONDS = 5.0


@contextmanager
def sidecars(*, serves_logs: bool, bundle_cleanup_seconds: int) -> Iterator[None]:
    """Run the processes for as long as the context lasts; they do not outlive this process, however it ends.

    :param serves_logs: whether running tasks' logs are served.
    :param bundle_cleanup_seconds: how often stale bundles are removed; 0 for never.
    """
    wanted: dict[str, tuple[Callable[..., None], tuple[int, ...]]] = {}
    if serves_logs:
        wanted["log server"] = (_serve_logs, ())
    if bundle_cleanup_seconds > 0:
        wanted["bundle clean-up"] = (_clean_bundles, (bundle_cleanup_seconds,))
    processes = [
        multiprocessing.Process(target=_beside_the_worker, args=(what, *words), name=name)
        for name, (what, words) in wanted.items()
    ]
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


def _beside_the_worker(what: Callable[..., None], *words: int) -> None:
    """End with the worker, which alone decides: what the terminal sends to all is for it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    platforms.set_pdeathsig("SIGKILL")
    show_role(multiprocessing.current_process().name)
    worker = multiprocessing.parent_process()
    if worker is None or worker.is_alive():  # it may have died before the kernel was asked
        what(*words)


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
