"""One log file per component: begun with each run, and limited in size."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from hybrid_executor.standalone.console import ComponentConsole
from hybrid_executor.standalone.logs import ComponentLogs


def write(folder: Path, *lines: str, name: str = "worker", file_bytes: int = 10_000) -> None:
    logs = ComponentLogs(folder, file_bytes=file_bytes)
    for line in lines:
        logs.write(name, line)
    logs.close()


def test_each_component_has_a_file_without_colours(tmp_path: Path) -> None:
    logs = ComponentLogs(tmp_path / "logs")
    logs.write("worker", "\x1b[32mready\x1b[0m 100 %s")
    logs.write("scheduler", "one")
    logs.write("worker", "two")
    logs.close()
    assert (tmp_path / "logs" / "worker.log").read_text() == "ready 100 %s\ntwo\n"
    assert (tmp_path / "logs" / "scheduler.log").read_text() == "one\n"


def test_a_run_begins_a_new_file_and_keeps_those_of_the_last_two_runs(tmp_path: Path) -> None:
    for run in ("first", "second", "third", "fourth"):
        write(tmp_path, run)
    files = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert files == {"worker.log": "fourth\n", "worker.log.1": "third\n", "worker.log.2": "second\n"}


def test_all_files_of_a_component_are_limited_in_size(tmp_path: Path) -> None:
    write(tmp_path, *(f"{number:098}" for number in range(200)), file_bytes=1000)
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["worker.log", "worker.log.1", "worker.log.2"]
    assert all(path.stat().st_size <= 1000 for path in files)
    assert files[0].read_text().splitlines()[-1] == f"{199:098}"


def test_a_file_that_cannot_be_written_is_named_once_and_nothing_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "worker.log").symlink_to("/dev/full")
    write(tmp_path, "one", "two")
    [said] = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "worker.log") in said
    assert "cannot be written" in said


def test_lines_are_printed_too_only_where_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = ComponentLogs(tmp_path, echo=ComponentConsole(Console(highlight=False)))
    logs.write("worker", "shown")
    logs.close()
    assert "worker        | shown" in capsys.readouterr().out
    write(tmp_path, "hidden")
    assert capsys.readouterr().out == ""
