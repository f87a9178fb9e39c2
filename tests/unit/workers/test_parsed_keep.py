"""Where a worker cannot keep parsed files, its tasks go the ordinary way and one line says why."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import airflow.sdk.execution_time.supervisor  # noqa: F401 - Airflow sets up logging when it is imported first
import pytest

from hybrid_workers.parsed.keep import ParsedFiles


@pytest.fixture
def other_thread() -> Iterator[threading.Thread]:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="exporter")
    thread.start()
    yield thread
    end.set()
    thread.join()


def _said(files: ParsedFiles, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the worker says. Libraries may say more: a meter provider, say, that another test has shut down."""
    logger = "hybrid_workers.parsed.keep"
    with caplog.at_level(logging.INFO, logger=logger):
        files.explain()
    return [record.getMessage() for record in caplog.records if record.name == logger]


def test_a_worker_with_threads_says_their_names(
    other_thread: threading.Thread, caplog: pytest.LogCaptureFixture
) -> None:
    files = ParsedFiles()
    files.open(parse_seconds=300, most_files=8)
    [said] = _said(files, caplog)
    assert said.startswith(
        "Each task parses its Dag file, and worker_parse_seconds has no effect: the worker has threads"
    )
    assert "exporter" in said


_PRELOADS = """
import ctypes, threading, os
end = threading.Event()
libc, key = ctypes.CDLL(None), ctypes.c_uint()
libc.pthread_key_create(ctypes.byref(key), libc.usleep)
def work():
    libc.pthread_setspecific(key, ctypes.c_void_p(200_000))  # the system ends this thread 0.2 s after Python has
    end.wait()
thread = threading.Thread(target=work)
thread.start()
os.register_at_fork(before=lambda: (end.set(), thread.join()))

from hybrid_workers.parsed.keep import _find_threads
print(_find_threads(), threading.active_count())
"""


def test_threads_that_end_before_a_fork_are_none() -> None:
    # Those of OpenBLAS do, which numpy starts when it is imported, for example by worker_preload.
    done = subprocess.run([sys.executable, "-c", _PRELOADS], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["1"]


def test_a_platform_that_lacks_a_seam_is_told_with_its_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    files = ParsedFiles()
    files.open(parse_seconds=300, most_files=8)
    [said] = _said(files, caplog)
    assert said.endswith("is missing here")


def test_nothing_is_said_where_it_is_off(other_thread: threading.Thread, caplog: pytest.LogCaptureFixture) -> None:
    files = ParsedFiles()
    files.open(parse_seconds=0, most_files=8)
    assert _said(files, caplog) == []
