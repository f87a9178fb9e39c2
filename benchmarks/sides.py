"""The executors that are compared: where each is installed, and what configures it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv" / "bench"
# Upstream's Celery provider 3.26 does not work with Celery 5.7.
_UPSTREAM = (
    "apache-airflow-providers-amazon",
    "apache-airflow-providers-celery==3.26.*",
    "apache-airflow-providers-cncf-kubernetes",
    "asyncpg",
    "celery[redis]<5.7",
    "pandas",
    "psutil",
    "psycopg2-binary",
)


@dataclass(frozen=True)
class Side:
    """One executor.

    :ivar name: how the table names it.
    :ivar options: variables of the environment that choose and configure it.
    :ivar worker: arguments of ``airflow`` that start its worker, empty where it has none.
    :ivar keeps_results_in_broker: Celery's results go to the broker's Redis, and not to Airflow's database.
    """

    name: str
    executor: str
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    worker: tuple[str, ...] = ()
    keeps_results_in_broker: bool = False
    is_ours: bool = False

    @property
    def python(self) -> Path:
        """The interpreter of the environment that the side is installed in; upstream's is made where it is missing."""
        return Path(sys.executable) if self.is_ours else _upstream_python()


OURS = Side("hybrid", "hybrid_executor.HybridExecutor", worker=("hybrid", "worker"), is_ours=True)
# Where upstream keeps results matters. With the database, its default, each slot's process imports Airflow's models
# once for all of its tasks; with Redis, each task's process imports them for itself.
CELERY = Side("CeleryExecutor, results in the database", "CeleryExecutor", worker=("celery", "worker"))
CELERY_REDIS = Side(
    "CeleryExecutor, results in Redis", "CeleryExecutor", worker=("celery", "worker"), keeps_results_in_broker=True
)
# One pod per loop of the scheduler is the default, which nobody keeps who starts many pods.
_BATCH = {"AIRFLOW__KUBERNETES_EXECUTOR__WORKER_PODS_CREATION_BATCH_SIZE": "64"}
KUBERNETES = Side("KubernetesExecutor", "KubernetesExecutor", options=_BATCH)
KUBERNETES_ASYNC = Side(
    "KubernetesExecutor, async_pod_creation",
    "KubernetesExecutor",
    options={**_BATCH, "AIRFLOW__KUBERNETES_EXECUTOR__ASYNC_POD_CREATION": "True"},
)
# Both at once, as Airflow can run several executors; tasks name theirs.
CELERY_AND_KUBERNETES = Side(
    "CeleryExecutor and KubernetesExecutor",
    "CeleryExecutor,KubernetesExecutor",
    options={**_BATCH, "BENCHMARK_POD_EXECUTOR": "KubernetesExecutor"},
    worker=("celery", "worker"),
)


def import_folder() -> Path:
    """Return a folder to import ``benchmarks`` and ``tests`` from, and nothing else.

    Next to them lies this project's metadata, with which upstream's Airflow would load its provider and plugin.
    """
    folder = FOLDER / "import"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("benchmarks", "tests"):
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)
    return folder


def versions(side: Side, packages: Sequence[str]) -> dict[str, str]:
    """Return which releases of packages a side has installed."""
    ask = f"import json; from importlib.metadata import version; print(json.dumps([version(p) for p in {packages!r}]))"
    told = subprocess.run([str(side.python), "-c", ask], capture_output=True, text=True, check=True).stdout
    return dict(zip(packages, json.loads(told), strict=True))


def _upstream_python() -> Path:
    """Return the interpreter of the environment with upstream's newest providers and the same release of Airflow."""
    folder = FOLDER / "upstream"
    python, mark = folder / "bin" / "python", folder / "installed"
    wanted = " ".join((f"apache-airflow=={version('apache-airflow')}", *_UPSTREAM))
    if not mark.exists() or mark.read_text() != wanted:
        print(f"installing upstream's executors into {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        if find_spec("uv"):
            install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
        subprocess.run([*install, *wanted.split()], check=True)
        mark.write_text(wanted)
    return python
