"""Which files of a tree were opened is told by the kernel, or said to be unknown."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hybrid_workers.parsed.opened import OpenedFiles

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")
_QUEUE = "/proc/sys/fs/inotify/max_queued_events"


def test_files_that_are_opened_in_the_tree_are_told(tmp_path: Path) -> None:
    before, deep, left_out = tmp_path / "before", tmp_path / "a" / "b" / "deep", tmp_path / "__pycache__" / "code"
    for file in (before, deep, left_out):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("1")
    before.read_text()
    with OpenedFiles(str(tmp_path)) as opened:
        deep.read_text()
        left_out.read_text()
        list(tmp_path.iterdir())
        new = tmp_path / "new"
        new.write_text("1")
        assert opened.take() == ({str(deep), str(new)}, True)
        assert opened.take() == (set(), True)


def test_that_more_were_opened_than_the_kernel_keeps_is_told(tmp_path: Path) -> None:
    files = [tmp_path / name for name in "ab"]
    for file in files:
        file.touch()
    with OpenedFiles(str(tmp_path)) as opened:
        for _ in range(int(Path(_QUEUE).read_text()) // 2 + 1):
            for file in files:
                os.close(os.open(file, os.O_RDONLY))
        assert opened.take()[1] is False
        assert opened.take() == (set(), True)


def test_a_tree_that_is_not_there_has_none(tmp_path: Path) -> None:
    with OpenedFiles(str(tmp_path / "none")) as opened:
        assert opened.take() == (set(), True)
