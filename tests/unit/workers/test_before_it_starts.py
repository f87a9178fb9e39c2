"""What a worker refuses before it starts: pools that cannot work, numbers that are none, pid files of the living."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from celery.concurrency.prefork import TaskPool  # type: ignore[import-untyped]

from hybrid_executor.config import DictConfig
from hybrid_executor.errors import ConfigError
from hybrid_workers.background import check_pid_file, read_background
from hybrid_workers.checks import check_pool, check_size
from hybrid_workers.command import Arguments, celery_options, run_worker
from hybrid_workers.deployment import read_deployment
from tests.waiting import PATIENCE_SECONDS

CONF = DictConfig({"celery": {"broker_url": "redis://h/0"}})


class PoolOfOurs(TaskPool):  # type: ignore[misc]
    """A pool that a deployment has made from prefork."""


@pytest.mark.parametrize("pool", ["prefork", "processes", f"{__name__}:PoolOfOurs", TaskPool])
def test_a_pool_with_a_process_for_each_workload_is_taken(pool: object) -> None:
    check_pool(pool)


@pytest.mark.parametrize("pool", ["solo", "threads", "gevent", "eventlet", "no.such:Pool", "json:loads", "nonsense"])
def test_any_other_pool_is_refused_with_what_to_set(pool: str) -> None:
    with pytest.raises(ConfigError, match=rf"pool {pool} cannot run .*: set \[celery\] pool = prefork"):
        check_pool(pool)


def test_the_celery_command_refuses_it_too(tmp_path: Path) -> None:
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CELERY__BROKER_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-m", "celery", "-A", "hybrid_workers.celery_app", "worker", "--pool", "threads"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 1
    assert "cannot run Airflow's workloads" in done.stderr


@pytest.mark.parametrize(
    ("autoscale", "concurrency", "words"),
    [
        ((0, 0), 4, "--autoscale 0,0 is not valid"),
        ((4, -1), 4, "--autoscale 4,-1 is not valid"),
        (None, -2, "--concurrency -2 is not valid"),
    ],
)
def test_a_worker_of_celerys_command_without_a_process_for_its_tasks_is_refused(
    autoscale: tuple[int, int] | None, concurrency: int, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        check_size(SimpleNamespace(options={"autoscale": autoscale}, concurrency=concurrency))


@pytest.mark.parametrize("autoscale", [(1, 0), (4, 4), None])
def test_a_worker_with_at_least_one_process_is_taken(autoscale: tuple[int, int] | None) -> None:
    check_size(SimpleNamespace(options={"autoscale": autoscale}, concurrency=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (Arguments(concurrency=0), "--concurrency 0 is not valid: write a number of at least 1"),
        (Arguments(concurrency=-1), "--concurrency -1 is not valid: write a number of at least 1"),
        (Arguments(autoscale="many"), "--autoscale many is not valid: write two whole numbers"),
        (Arguments(autoscale="0,0"), "--autoscale 0,0 is not valid: write .*where max is at least 1"),
        (Arguments(autoscale="0"), "--autoscale 0 is not valid"),
        (Arguments(autoscale="-1,-2"), "--autoscale -1,-2 is not valid"),
        (Arguments(autoscale="4,2,1"), "--autoscale 4,2,1 is not valid"),
        (Arguments(autoscale=","), "--autoscale , is not valid"),
    ],
)
def test_a_number_that_is_none_is_named(arguments: Arguments, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        celery_options(arguments, read_deployment(CONF), CONF)


@pytest.mark.parametrize("umask", ["zz", "0999", "07777"])
def test_a_umask_that_is_none_is_named(umask: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_worker(argparse.Namespace(umask=umask)) == 1
    assert f"The umask {umask} is not valid: write an octal number such as 0o077." in capsys.readouterr().err


def test_without_a_umask_airflows_own_counts(tmp_path: Path) -> None:
    background = read_background(pid=str(tmp_path / "pid"), stdout=None, stderr=None, log=None, umask="")
    assert (background.pid_file, background.umask) == (str(tmp_path / "pid"), "0o077")


# ---- pid files ----


def test_no_pid_file_is_well(tmp_path: Path) -> None:
    check_pid_file(str(tmp_path / "none"))


def test_the_pid_file_of_a_living_worker_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(f"{os.getpid()}\n")
    with pytest.raises(ConfigError, match=rf"names process {os.getpid()}\. Stop it first \(kill -TERM {os.getpid()}\)"):
        check_pid_file(str(path))
    assert path.read_text() == f"{os.getpid()}\n"


def test_what_a_dead_worker_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    path.write_text(str(done.pid))
    check_pid_file(str(path))
    assert not path.exists()


def test_a_number_that_a_younger_process_has_now_is_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(str(os.getpid()))
    yesterday = time.time() - 86400
    os.utime(path, (yesterday, yesterday))
    check_pid_file(str(path))
    assert not path.exists()


def test_a_file_that_is_no_pid_file_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("do not lose this")
    with pytest.raises(ConfigError, match="is no pid file"):
        check_pid_file(str(path))
    assert path.exists()
