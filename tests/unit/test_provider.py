"""What Airflow is told about this package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import hybrid_executor
from hybrid_executor.config.table import HYBRID_OPTIONS
from hybrid_executor.provider import get_provider_info


@pytest.fixture
def info() -> dict[str, Any]:
    return get_provider_info()


@pytest.mark.parametrize("schema", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_the_provider_info_is_valid_by_airflows_own_schema(info: dict[str, Any], schema: str) -> None:
    path = files("airflow").joinpath(schema)
    if not path.is_file():
        pytest.skip(f"this Airflow ships no {schema}")
    problems = [error.message for error in jsonschema.Draft7Validator(json.loads(path.read_text())).iter_errors(info)]
    allowed = ("is a required property", "Additional properties")
    assert [problem for problem in problems if not any(part in problem for part in allowed)] == []


def test_the_entry_point_names_this_distribution(info: dict[str, Any]) -> None:
    (entry_point,) = metadata.distribution("airflow-hybrid-executor").entry_points.select(
        group="apache_airflow_provider"
    )
    assert entry_point.load() is get_provider_info
    assert info["package-name"] == "airflow-hybrid-executor"


def test_only_our_own_section_is_declared_with_every_option(info: dict[str, Any]) -> None:
    assert list(info["config"]) == ["hybrid_executor"]
    assert list(info["config"]["hybrid_executor"]["options"]) == [option.name for option in HYBRID_OPTIONS]


def test_no_default_holds_braces_that_airflow_would_format(info: dict[str, Any]) -> None:
    defaults = [option["default"] or "" for option in info["config"]["hybrid_executor"]["options"].values()]
    assert not [default for default in defaults if "{" in default]


def test_what_may_hold_a_password_is_declared_sensitive(info: dict[str, Any]) -> None:
    options = info["config"]["hybrid_executor"]["options"]
    assert {name for name, option in options.items() if option.get("sensitive")} == {"redis_url", "redis_options"}


def test_the_executors_exist(info: dict[str, Any]) -> None:
    for path in info["executors"]:
        assert getattr(hybrid_executor, path.rpartition(".")[2]).__module__.startswith("hybrid_executor")


def test_asking_for_the_provider_info_loads_nothing_heavy() -> None:
    code = (
        "import sys; from hybrid_executor.provider import get_provider_info; get_provider_info(); "
        "print(sorted({'airflow', 'celery', 'kubernetes', 'redis', 'httpx', 'rich', 'uvicorn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_airflow_finds_the_module_of_the_provider_where_it_looks_for_example_dags(tmp_path: Path) -> None:
    code = (
        "from airflow.dag_processing.bundles.manager import DagBundlesManager; "
        "print(sorted(bundle.name for bundle in DagBundlesManager().get_all_dag_bundles()))"
    )
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "True"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "dags-folder" in said
    assert "hybrid_executor" not in said


def test_the_plugin_costs_airflows_other_processes_nothing_heavy() -> None:
    code = (
        "import sys; import airflow.plugins_manager; before = set(sys.modules); import hybrid_executor.plugin; "
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith('hybrid_executor')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_airflows_own_commands_show_the_provider_without_a_warning(tmp_path: Path) -> None:
    code = (
        "from airflow.cli.cli_parser import get_parser\n"
        "for words in ('providers list', 'config list --section hybrid_executor --include-descriptions', '--help'):\n"
        "    print('@@', words)\n"
        "    try:\n"
        "        arguments = get_parser().parse_args(words.split())\n"
        "        arguments.func(arguments)\n"
        "    except SystemExit as end:\n"
        "        assert not end.code\n"
    )
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONWARNINGS": "default"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    providers, options, groups = re.split("^@@ .*\n", done.stdout, flags=re.MULTILINE)[1:]
    assert "airflow-hybrid-executor" in providers
    assert [f"# {option.name} = " in options for option in HYBRID_OPTIONS] == [True] * len(HYBRID_OPTIONS)
    assert "Commands of the hybrid executor" in groups
    warned = [line for line in (done.stdout + done.stderr).splitlines() if re.search("warn|error", line, re.IGNORECASE)]
    assert [line for line in warned if "hybrid" in line] == []
