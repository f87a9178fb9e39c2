"""The pages agree with the project: links, files, options and commands that they name exist."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

from hybrid_executor.agent import reaper
from hybrid_executor.cli.definition import get_hybrid_cli_commands
from hybrid_executor.config.celery_table import CELERY_OPTIONS
from hybrid_executor.config.kubernetes_table import KUBERNETES_OPTIONS
from hybrid_executor.config.table import HYBRID_OPTIONS
from hybrid_executor.executor import child
from hybrid_executor.kube import transport, watch
from hybrid_executor.store import epochs
from hybrid_executor.store.keys import Keys
from tests.documents import PAGES, ROOT

OPTIONS = {(option.section, option.name) for option in (*HYBRID_OPTIONS, *CELERY_OPTIONS, *KUBERNETES_OPTIONS)}
SECTIONS = {section for section, _ in OPTIONS}
FOLDERS = ("conf", "docs", "examples", "tests", "workers", "hybrid_executor", "benchmarks")
MADE_BY_USERS = {"kube/kubeconfig"}

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def text_of(page: Path) -> str:
    """Return a page with its line breaks within `code` taken out."""
    return re.sub(r"`[^`]+`", lambda found: " ".join(found[0].split()), page.read_text(encoding="utf-8"))


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), target
        assert not anchor or anchor in anchors_of(found), target


@page
def test_every_file_of_the_project_that_is_named_exists(page: Path) -> None:
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./*-]*)`", text_of(page))
    missing = [name for name in named if name not in MADE_BY_USERS and not list(ROOT.glob(name.rstrip("/")))]
    assert missing == []


@page
def test_every_option_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"\[(\w+)\] (\w+)", text_of(page))
    unknown = [(section, name) for section, name in named if section in SECTIONS and (section, name) not in OPTIONS]
    assert [(section, name) for section, name in unknown if not name.endswith(("_cmd", "_secret"))] == []


@page
def test_every_command_that_is_named_exists_with_its_flags(page: Path) -> None:
    (group,) = get_hybrid_cli_commands()
    commands = {command.name: command for command in group.subcommands}  # type: ignore[attr-defined]
    told = re.findall(r"`(airflow hybrid [^`]+)`", text_of(page))
    for words in (line.split() for line in told):
        if not words[2][:1].isalpha():
            continue
        command = commands[words[2]]
        flags = {flag for argument in command.args for flag in argument.flags}
        # Titles of processes have "--" in front of what they do.
        used = {re.sub(r"[\[\],`]", "", word) for word in words[3:] if word.lstrip("[`").startswith("-")} - {"--"}
        assert used <= flags, words


def test_the_page_on_redis_lists_every_kind_of_key() -> None:
    keys = Keys("any")
    kinds = {key.removeprefix(keys.prefix).partition(":")[0] for key in (*keys.examples(), keys.probe, keys.trial)}
    page = (ROOT / "docs" / "redis-cli.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`\.\.\.([a-z-]+)[:`]", page)) == kinds


def test_the_layers_are_those_that_the_linter_keeps() -> None:
    linter = ConfigParser()
    linter.read(ROOT / "setup.cfg")
    layers = linter["importlinter:contract:layers"]["layers"].strip().splitlines()
    assert "```text\n" + "\n".join(layers) + "\n```" in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_security_page_lists_the_verbs_of_the_manifests_by_account() -> None:
    manifests = [ROOT / "workers" / "manifests" / name for name in ("rbac.yaml", "warm-pods/rbac.yaml")]
    objects = [item for path in manifests for item in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
    rules = {item["metadata"]["name"]: item["rules"] for item in objects if item["kind"] == "Role"}
    accounts = {"agent": "hybrid-agent", "API server": "airflow-api-server"}
    granted = {
        (account, resource, verb)
        for item in objects
        if item["kind"] == "RoleBinding"
        for account, name in accounts.items()
        if name in {subject["name"] for subject in item["subjects"]}
        for rule in rules[item["roleRef"]["name"]]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (agent|API server) \| `([\w/]+)` \| (`.+?`) \|", page, re.MULTILINE)
    told = [(account, resource, verb) for account, resource, verbs in rows for verb in re.findall(r"`(\w+)`", verbs)]
    assert sorted(told) == sorted(granted)


def test_the_times_on_the_page_on_failures_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
    defaults = {option.name: option.default for option in HYBRID_OPTIONS}
    for name, words in {
        "agent_lease": "{} s (`agent_lease`)",
        "worker_lost_after": "{} s of silence (`worker_lost_after`)",
        "repair_interval": "every {} s (`repair_interval`)",
        "relist_interval": "Every {} s it lists all pods (`relist_interval`)",
    }.items():
        assert words.format(defaults[name]) in page, name
    for words in (
        f"if the connection is silent, after {watch.DEFAULT_SILENCE_SECONDS:.0f} s",
        f"{reaper.STUCK_SECONDS:.0f} to {reaper.STUCK_SECONDS + reaper._EVERY_SECONDS:.0f} s",
        f"up to {epochs.SETTLING_SECONDS} s later",
        f"about {child._BACKOFF.first_seconds:.0f} s; up to {child._BACKOFF.most_seconds:.0f} s",
        f"growing pauses, up to {transport._MOST_RELOAD_SECONDS:.0f} s",
    ):
        assert words in page, words


def test_every_page_that_the_code_or_a_file_of_configuration_names_exists_with_its_heading() -> None:
    files = [
        path for folder in ("hybrid_executor", "workers", "conf", "examples") for path in (ROOT / folder).rglob("*.*")
    ]
    named = {
        found
        for path in (*files, ROOT / "docker-compose.yml", ROOT / "Makefile")
        if path.suffix in ("", ".py", ".yaml", ".yml", ".cfg", ".conf", ".j2", ".html")
        for found in re.findall(
            r"((?:docs/[\w.-]+|README|CONTRIBUTING|SECURITY)\.md)(?:#([\w-]+))?", path.read_text(encoding="utf-8")
        )
    }
    missing = [
        f"{page}#{anchor}"
        for page, anchor in named
        if not (ROOT / page).exists() or (anchor and anchor not in anchors_of(ROOT / page))
    ]
    assert ("docs/redis-urls.md", "") in named
    assert missing == []
