"""Other commands find a standalone while it runs, and only then."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

from hybrid_executor.standalone import running

TOLD = {"AIRFLOW__HYBRID_EXECUTOR__REDIS_URL": "redis://:secret@127.0.0.1:1/0", "PATH": "/bin", "AIRFLOW_HOME": "/home"}


def test_what_the_components_are_told_is_found_without_what_everybody_knows(tmp_path: Path) -> None:
    running.announce(tmp_path, TOLD, base={"AIRFLOW_HOME": "/home"})
    assert running.find(tmp_path) == {"AIRFLOW__HYBRID_EXECUTOR__REDIS_URL": "redis://:secret@127.0.0.1:1/0"}
    running.withdraw(tmp_path)
    assert running.find(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_only_its_user_may_read_the_passwords(tmp_path: Path) -> None:
    (tmp_path / "running.json").write_text("left by an earlier one, for all to read")
    running.announce(tmp_path, TOLD, base={})
    assert stat.S_IMODE((tmp_path / "running.json").stat().st_mode) == 0o600


def test_one_that_was_killed_is_not_found(tmp_path: Path) -> None:
    code = (
        "import pathlib; from hybrid_executor.standalone import running; "
        f"running.announce(pathlib.Path({str(tmp_path)!r}), {TOLD!r}, base={{}})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "running.json").exists()
    assert running.find(tmp_path) == {}


def test_another_process_with_its_id_is_not_taken_for_it(tmp_path: Path) -> None:
    running.announce(tmp_path, TOLD, base={})
    path = tmp_path / "running.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps({**described, "started": described["started"] - 60}))
    assert described["pid"] == os.getpid()
    assert running.find(tmp_path) == {}


def test_a_later_one_of_the_same_home_is_not_withdrawn(tmp_path: Path) -> None:
    (tmp_path / "running.json").write_text(json.dumps({"pid": 1, "started": 0, "environment": {}}))
    running.withdraw(tmp_path)
    assert (tmp_path / "running.json").exists()


def test_a_file_that_is_damaged_is_as_good_as_none(tmp_path: Path) -> None:
    assert running.find(tmp_path / "nowhere") == {}
    for text in ("", "[]", "{}", '{"pid": "x"}', '{"pid": 1, "started": "x", "environment": 3}'):
        (tmp_path / "running.json").write_text(text)
        assert running.find(tmp_path) == {}
