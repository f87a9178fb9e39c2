"""docs/versions.md says what setup.cfg requires and what ``make matrix`` runs."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.matrix import LEGS, AirflowLeg, CeleryLeg, KubernetesLeg, lower_bound, oldest_python, oldest_requirements

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
CONFIG = ConfigParser()
CONFIG.read(ROOT / "setup.cfg")


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def rows() -> dict[str, tuple[str, str]]:
    """Return oldest and newest release of each package in the table."""
    found = re.findall(r"^\| [^|]+ \| ([\d.]+) \| ([\d.]+) \| `([\w-]+)` in `setup.cfg` \|$", PAGE, re.MULTILINE)
    return {name: (oldest, newest) for oldest, newest, name in found}


def test_the_oldest_releases_are_the_lower_bounds_of_what_is_required() -> None:
    bounds = dict(requirement.split("==") for requirement in oldest_requirements())
    assert bounds == {name: oldest for name, (oldest, _) in rows().items()}


def test_python_is_that_of_setup_cfg() -> None:
    known = re.findall(r"Python :: (3\.\d+)", CONFIG["metadata"]["classifiers"])
    assert f"\n| Python | {known[0]} | {known[-1]} | `setup.cfg` |\n" in PAGE
    assert CONFIG["options"]["python_requires"] == f">={known[0]}"


@pytest.mark.parametrize(
    ("package", "releases"),
    [
        ("celery", {leg.release for leg in LEGS if isinstance(leg, CeleryLeg)}),
        ("redis", {leg.redis for leg in LEGS if isinstance(leg, CeleryLeg)}),
        ("kubernetes", {leg.release for leg in LEGS if isinstance(leg, KubernetesLeg)}),
    ],
)
def test_the_matrix_runs_the_oldest_and_the_newest_release(package: str, releases: set[str]) -> None:
    ordered = sorted(releases, key=version)
    assert (ordered[0], ordered[-1]) == rows()[package]


def test_the_matrix_runs_the_older_release_of_airflow() -> None:
    [release] = [leg.release for leg in LEGS if isinstance(leg, AirflowLeg)]
    assert version(rows()["apache-airflow"][0])[:2] == version(release)


def test_every_leg_is_explained_and_every_explained_leg_exists() -> None:
    named = set(re.findall(r"MATRIX_ARGS=([\w.]+)", PAGE))
    for others in re.findall(r"MATRIX_ARGS=[\w.]+` \(([^)]+)\)", PAGE):
        named |= set(others.split(", "))
    assert named == {leg.release for leg in LEGS}


def test_ci_runs_the_oldest_corner_before_the_tests() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert 0 < script.index("MATRIX_ARGS=oldest") < script.index("TEST_ARGS")
    assert script.rstrip().endswith('test TEST_ARGS="$*"')


@pytest.mark.parametrize(
    ("requirement", "bound"),
    [("celery[redis]>=5.5", ("celery", "5.5")), ("apache-airflow>=3.2,<4", ("apache-airflow", "3.2"))],
)
def test_a_lower_bound_is_read(requirement: str, bound: tuple[str, str]) -> None:
    assert lower_bound(requirement) == bound


@pytest.mark.parametrize("requirement", ["celery", "celery<6", "celery==5.5"])
def test_a_requirement_without_a_lower_bound_is_an_error(requirement: str) -> None:
    with pytest.raises(ValueError, match="has no lower bound"):
        lower_bound(requirement)


def test_the_oldest_python_that_is_installed_is_supported() -> None:
    assert Path(oldest_python()).exists()
