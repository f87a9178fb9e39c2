"""The two executors that are compared: where each is installed, and how its worker is started."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
UPSTREAM = ROOT / ".venv" / "benchmarks" / "upstream"
# Upstream's Celery provider 3.26 does not work with Celery 5.7.
_UPSTREAM = ("apache-airflow-providers-celery==3.26.*", "celery[redis]<5.7", "psycopg2-binary", "asyncpg")


@dataclass(frozen=True)
class Side:
    """One executor and the environment that it is installed in.

    :ivar worker: arguments of ``airflow`` that start its worker.
    :ivar keeps_results_in_broker: Celery's results go to the broker's Redis, and not to Airflow's database.
    """

    name: str
    python: Path
    executor: str
    worker: tuple[str, ...]
    keeps_results_in_broker: bool = False


def ours() -> Side:
    """This executor, as it is installed here."""
    return Side("hybrid", Path(sys.executable), "hybrid_executor.HybridExecutor", ("hybrid", "worker"))


def upstream(*, keeps_results_in_broker: bool) -> Side:
    """Upstream's CeleryExecutor on the same release of Airflow, installed where it is not yet.

    Where it keeps its results matters: with the database, which is its default, each slot's process happens to import
    Airflow's models once for all of its tasks; with Redis, each task's process imports them for itself.
    """
    python = UPSTREAM / "bin" / "python"
    if not (UPSTREAM / "installed").exists():
        from airflow import __version__ as airflow

        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(UPSTREAM)], check=True)
        install = [*uv, "pip", "install", "--quiet", "--python", str(python)]
        subprocess.run([*install, f"apache-airflow=={airflow}", *_UPSTREAM], check=True)
        (UPSTREAM / "installed").touch()
    name = f"upstream, results in {'Redis' if keeps_results_in_broker else 'the database'}"
    return Side(name, python, "CeleryExecutor", ("celery", "worker"), keeps_results_in_broker)


def version(side: Side, package: str) -> str:
    """Return which release of a package a side has installed."""
    ask = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([str(side.python), "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
