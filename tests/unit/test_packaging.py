"""The wheel: our import names, with everything they need at run time, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Airflow imports the module that is named as the distribution, see there.
NAMED_AS_THE_DISTRIBUTION = "airflow_hybrid_executor"
SOURCES = {"hybrid_executor": ROOT / "hybrid_executor", "hybrid_workers": ROOT / "workers" / "hybrid_workers"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built from a copy so that the tree stays clean."""
    tree, target = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in ("setup.py", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("hybrid_executor", "workers", "examples"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = f"from setuptools import build_meta; print(build_meta.build_wheel({str(target)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(target.glob("*.whl"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def names(wheel: zipfile.ZipFile) -> set[str]:
    return set(wheel.namelist())


def test_exactly_our_import_names_are_installed(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {*SOURCES, NAMED_AS_THE_DISTRIBUTION}
    assert {name for name in names if name.startswith(f"{NAMED_AS_THE_DISTRIBUTION}/")} == {
        f"{NAMED_AS_THE_DISTRIBUTION}/__init__.py"
    }


@pytest.mark.parametrize("package", SOURCES)
def test_every_module_and_data_file_is_in_it(names: set[str], package: str) -> None:
    source = SOURCES[package]
    wanted = {
        f"{package}/{path.relative_to(source).as_posix()}"
        for path in source.rglob("*")
        if path.suffix in (".py", ".lua", ".html", ".css", ".js", ".svg") or path.name == "py.typed"
    }
    assert wanted - names == set()
    assert f"{package}/py.typed" in names


def test_the_scripts_of_the_store_are_in_it(names: set[str]) -> None:
    assert "hybrid_executor/store/scripts/submit.lua" in names


def test_airflow_finds_the_provider_and_the_plugin(wheel: zipfile.ZipFile, names: set[str]) -> None:
    (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
    assert wheel.read(entry_points).decode().splitlines() == [
        "[airflow.plugins]",
        "hybrid_executor = hybrid_executor.plugin:HybridPlugin",
        "",
        "[apache_airflow_provider]",
        "provider_info = hybrid_executor.provider:get_provider_info",
    ]


def test_the_metadata_name_licence_and_extras(wheel: zipfile.ZipFile, names: set[str]) -> None:
    (metadata,) = [name for name in names if name.endswith("/METADATA")]
    fields = Parser().parsestr(wheel.read(metadata).decode())
    assert fields["Name"] == "airflow-hybrid-executor"
    assert set(fields.get_all("Provides-Extra") or []) == {"bench", "docs", "embedded", "test"}
    assert [name for name in names if name.endswith("LICENSE")]
