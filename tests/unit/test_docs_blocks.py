"""Every code block of every page is read by what reads it in a deployment. Shell blocks: :mod:`test_docs_commands`."""

from __future__ import annotations

import json
import re
import sys
import types
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.configuration import AirflowConfigParser

from hybrid_executor.config import AirflowConfig, DictConfig, read_settings
from hybrid_executor.config.celery import read_celery_settings
from hybrid_executor.config.celery_table import CELERY_OPTIONS
from hybrid_executor.config.kubernetes import read_kubernetes_settings
from hybrid_executor.config.kubernetes_table import KUBERNETES_OPTIONS
from hybrid_executor.config.profiles import read_profiles
from hybrid_executor.config.table import HYBRID_OPTIONS
from hybrid_executor.config.teams import our_teams, parse_executors
from hybrid_executor.kube.overrides import read_overrides
from tests.documents import BLOCKS, PAGES, ROOT, Block, name_of
from tests.unit.test_manifests import MODELS, faults

SHELL = ("bash", "console")
OPTIONS = {(option.section, option.name) for option in (*HYBRID_OPTIONS, *CELERY_OPTIONS, *KUBERNETES_OPTIONS)}
SECTIONS = {section for section, _ in OPTIONS}
FREE_SECTIONS = {"celery_broker_transport_options", "celery_kubernetes_executor", "local_kubernetes_executor"}
ONLY_TO_LOOK_AT = {
    "CONTRIBUTING.md": ["a tree of folders"],
    "docs/architecture.md": ["a drawing of the parts", "the layers, which test_docs.py compares with setup.cfg"],
    "docs/commands-that-change.md": ["a warning"],
    "docs/parsed-dags.md": ["what the worker's log says", "a tree of processes", "what the worker's log says"],
    "docs/fault-tests.md": ["what a soak prints"],
    "docs/standalone.md": ["what standalone prints", "what ps prints"],
    "docs/doctor.md": ["an example of the output, with problems that need a cluster"],
    "docs/kubernetes-deployment.md": ["a formula"],
    "docs/migration.md": ["what the command says about one line of a Dag"],
    "docs/concepts.md": ["the states of an attempt, which test_states_and_events.py has"],
}
"""Blocks of the language ``text``, in the order of each page, and why nothing reads them. ACL rules are not among them:
``tests/integration/test_redis_acl.py`` runs whole components under them."""
MODELS_OF_PAGES = {**MODELS, ("networking.k8s.io/v1", "NetworkPolicy"): "V1NetworkPolicy"}


def of(*languages: str) -> Any:
    return pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in languages], ids=str)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_stands_in_fences_with_a_language(page: Path) -> None:
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert "```" not in text
    assert re.findall(r"\n\n(    \S.*)", text) == [], "write a block with three backticks and its language"


def test_no_block_is_passed_over() -> None:
    read = (*SHELL, "ini", "yaml", "python", "json", "properties", "text")
    assert [str(block) for block in BLOCKS if block.language not in read] == []
    looked_at = dict.fromkeys(ONLY_TO_LOOK_AT, 0)
    for block in BLOCKS:
        if block.language == "text" and not block.attributes.startswith("acl="):
            looked_at[block.page] = looked_at.get(block.page, 0) + 1
    assert looked_at == {page: len(reasons) for page, reasons in ONLY_TO_LOOK_AT.items()}


@pytest.fixture
def modules_of_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that readers write themselves, from the very Python blocks that show them."""
    for name in ("mycompany", "mycompany.redis"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    [shown] = [block for block in BLOCKS if block.language == "python" and "CredentialProvider" in block.text]
    exec(compile(shown.text, str(shown), "exec"), vars(sys.modules["mycompany.redis"]))  # noqa: S102


def exists(section: str, option: str) -> bool:
    """Return whether an option is one of ours, or of Airflow; the section may be that of a team."""
    from airflow.configuration import conf

    section = section.rpartition("=")[2]
    if section in SECTIONS:
        plain = option if (section, option) in OPTIONS else option.removesuffix("_cmd").removesuffix("_secret")
        return (section, plain) in OPTIONS
    if section in FREE_SECTIONS:
        return True
    return option in conf.configuration_description.get(section, {}).get("options", {})


@of("ini")
def test_configuration_is_read_as_a_deployment_reads_it(block: Block, modules_of_readers: None, tmp_path: Path) -> None:
    parser = ConfigParser(interpolation=None)
    parser.read_string(block.text)
    sections = {name: dict(parser[name]) for name in parser.sections()}
    assert [
        (section, option) for section in sections for option in sections[section] if not exists(section, option)
    ] == []
    if "before" in block.text.partition("\n")[0]:
        return  # what a reader has in an older Airflow
    executor = sections.get("core", {}).get("executor", "hybrid_executor.HybridExecutor")
    for entry in parse_executors(executor):
        module, _, name = entry.path.rpartition(".")
        assert not entry.is_ours or hasattr(import_module(module), name)
    as_airflow_reads_it = AirflowConfigParser()
    as_airflow_reads_it.read_string(block.text)
    for team in filter(None, our_teams(AirflowConfig(as_airflow_reads_it))):
        assert read_settings(AirflowConfig(as_airflow_reads_it, team=team)).require_redis()
    hybrid = sections.setdefault("hybrid_executor", {})
    if "profiles_file" in hybrid:
        hybrid["profiles_file"] = str(ROOT / "conf" / "profiles.yaml")
    hybrid.setdefault("redis_url", "redis://localhost/0")
    conf = DictConfig(sections)
    settings = read_settings(conf)
    assert settings.require_redis()
    assert read_celery_settings(conf)
    assert read_kubernetes_settings(conf)
    if "routes" in hybrid:
        written = ",".join(hybrid["routes"].strip().splitlines())
        assert re.sub(r"\s", "", str(settings.routes)) == re.sub(r"\s", "", written)


@of("yaml")
def test_yaml_is_a_manifest_that_the_api_knows_or_a_file_of_profiles(block: Block, tmp_path: Path) -> None:
    for document in yaml.safe_load_all(block.text):
        if "kind" in document:
            model = MODELS_OF_PAGES[document["apiVersion"], document["kind"]]
            assert faults(document, model, document["kind"]) == []
        else:
            path = tmp_path / "profiles.yaml"
            path.write_text(block.text)
            profiles = read_profiles(str(path))
            assert profiles
            for profile in profiles.values():
                read_overrides(profile.executor_config)


@of("python")
def test_python_runs_and_dags_are_read_by_airflow(block: Block, tmp_path: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    path = tmp_path / "shown.py"
    path.write_text(block.text)
    if "airflow.sdk" not in block.text:
        exec(compile(block.text, str(block), "exec"), {"__name__": "shown"})  # noqa: S102
        return
    bag = DagBag(dag_folder=str(path))
    assert bag.import_errors == {}
    assert bag.dags
    for dag in bag.dags.values():
        for task in dag.tasks:
            read_overrides(task.executor_config or {})


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/*.py")), ids=name_of)
def test_the_examples_are_read_by_airflow(path: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    if path.name == "__init__.py":
        assert path.parent.name == "airflow_hybrid_executor"
        return
    bag = DagBag(dag_folder=str(path))
    assert bag.import_errors == {}
    assert len(bag.dags) == 1


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"] or [None], ids=str)
def test_json_is_valid(block: Block | None) -> None:
    assert block is None or json.loads(block.text) is not None


@of("properties")
def test_variables_set_options_or_are_used_by_the_compose_file(block: Block) -> None:
    lines = [line for line in block.text.splitlines() if line]
    if lines[0].startswith("AIRFLOW"):
        named = [line.partition("=")[0].lower().split("__")[1:] for line in lines if "__" in line]
        assert [option for option in named if not exists(*option)] == []
        return
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    assert {line.partition("=")[0] for line in lines} <= used
