"""What is made from the tables of options, and what says the same twice, agrees."""

from __future__ import annotations

import re
import runpy
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybrid_executor.config import read_settings
from hybrid_executor.config.kubernetes import read_kubernetes_settings
from hybrid_executor.config.options import DictConfig
from hybrid_executor.config.profiles import read_profiles
from hybrid_executor.config.table import HYBRID_OPTIONS
from hybrid_executor.demo.home import ROUTES
from hybrid_executor.kube.overrides import read_overrides
from hybrid_executor.kube.template import TEMPLATE_OPTION, TemplateChoice, read_template
from hybrid_executor.routing import parse_routes
from hybrid_executor.sandbox.valkey import VALKEY_SETTINGS

ROOT = Path(__file__).parents[2]
AGAIN = "run: python docs/render_options.py"


@pytest.fixture(scope="module")
def rendering() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "render_options.py"))


def test_the_configuration_file_is_the_tables(rendering: dict[str, Any]) -> None:
    assert (ROOT / "conf" / "airflow.cfg").read_text() == rendering["render_cfg"](), AGAIN


def test_the_configuration_page_is_the_tables(rendering: dict[str, Any]) -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == rendering["render_docs"](), AGAIN


def test_the_configuration_file_can_be_read() -> None:
    parser = ConfigParser(interpolation=None)
    parser.read(ROOT / "conf" / "airflow.cfg")
    assert parser["core"]["executor"] == "hybrid_executor.HybridExecutor"


def test_the_defaults_that_the_configuration_file_shows_can_be_written_out() -> None:
    shown = (ROOT / "conf" / "airflow.cfg").read_text()
    parser = ConfigParser(interpolation=None)
    parser.read_string(re.sub(r"^# (\w+ =)", r"\1", shown, flags=re.MULTILINE))
    written_out = DictConfig({name: dict(parser[name]) for name in parser.sections()})
    assert set(parser["hybrid_executor"]) == {option.name for option in HYBRID_OPTIONS}
    assert read_settings(written_out)
    for option in HYBRID_OPTIONS:
        if f"\n# {option.name} =" in shown:
            assert option.read(written_out) == option.read(DictConfig()), option.name


def test_the_profiles_file_serves_the_routes_of_the_demo() -> None:
    profiles = read_profiles(str(ROOT / "conf" / "profiles.yaml"))
    assert parse_routes(ROUTES, profiles=profiles).profiles == ("gpu",)
    pod = read_overrides(profiles["gpu"].executor_config).pod
    assert pod["metadata"]["labels"] == {"workload": "gpu"}


def test_the_pod_template_is_a_pod_that_runs_its_task_in_base() -> None:
    path = ROOT / "conf" / "pod_template.yaml"
    template = read_template(TemplateChoice(str(path), TEMPLATE_OPTION))
    assert [container["name"] for container in template["spec"]["containers"]] == ["base"]
    assert template["spec"]["restartPolicy"] == "Never"
    assert read_kubernetes_settings(DictConfig({"kubernetes_executor": {"pod_template_file": str(path)}}))


def test_the_embedded_server_follows_the_shipped_redis_configuration() -> None:
    lines = (ROOT / "conf" / "redis.conf").read_text().splitlines()
    shipped = dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    assert shipped == VALKEY_SETTINGS


@pytest.mark.parametrize("path", sorted((ROOT / "workers" / "manifests").glob("*.yaml")), ids=lambda path: path.name)
def test_the_manifests_are_yaml_with_kind_and_name(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        assert document["kind"]
        assert document["metadata"]["name"]


def test_the_roles_list_exactly_the_verbs_that_the_code_uses() -> None:
    documents = yaml.safe_load_all((ROOT / "workers" / "manifests" / "rbac.yaml").read_text())
    rules = [rule for document in documents if document["kind"] == "Role" for rule in document["rules"]]
    granted = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    assert granted == {
        *(("pods", verb) for verb in ("create", "delete", "get", "list", "patch", "watch")),
        ("pods/log", "get"),
        ("events", "list"),
    }
