"""The health check of a worker's container."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid_workers.probe import main
from hybrid_workers.vitals import Vitals, find_trouble, read_all_vitals, remove_vitals, vitals_path, write_vitals

WELL = Vitals(name="celery@host", pid=os.getpid(), written_at=95, loop_at=94)


@pytest.mark.parametrize(
    ("vitals", "words"),
    [
        (WELL, ""),
        (replace(WELL, written_at=30), "has not been heard of for 70 s"),
        (replace(WELL, loop_at=20), "is stuck: its main thread has not come round for 80 s"),
        (replace(WELL, deaf_since=60), ""),
        (replace(WELL, deaf_since=30), "is deaf: messages have waited for it for 70 s and it takes none"),
    ],
)
def test_trouble_is_said_in_words(vitals: Vitals, words: str) -> None:
    assert find_trouble(vitals, now=100, seconds=60) == words


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("home")
def test_without_a_worker_the_exit_code_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert capsys.readouterr().out == "no worker runs here\n"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("words", "code"), [([], 0), (["-H", "host"], 0), (["-H", "celery"], 0), (["-H", "x"], 1)])
def test_a_worker_is_found_by_its_name_or_host(words: list[str], code: int) -> None:
    write_vitals(replace(WELL, written_at=10**12, loop_at=10**12))
    assert main(words) == code
    remove_vitals(WELL.name)
    assert main(words) == 1


def test_files_that_are_no_vitals_are_passed_over(home: Path) -> None:
    write_vitals(WELL)
    home.joinpath("hybrid-worker-x.vitals").write_text("{")
    assert list(read_all_vitals()) == [WELL]
    assert vitals_path("a/b@c").parent == home


@pytest.mark.usefixtures("home")
def test_the_probe_imports_neither_airflow_nor_celery_nor_redis() -> None:
    code = "import sys, hybrid_workers.probe as p; p.main([]); print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"airflow", "celery", "redis", "pydantic", "hybrid_executor"}
    assert heavy & set(done.stdout.splitlines()[-1].split()) == set()
