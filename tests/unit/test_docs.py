"""The pages agree with the project: links, files, options and commands that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hybrid_executor.cli.definition import get_hybrid_cli_commands
from hybrid_executor.config.celery_table import CELERY_OPTIONS
from hybrid_executor.config.kubernetes_table import KUBERNETES_OPTIONS
from hybrid_executor.config.table import HYBRID_OPTIONS
from hybrid_executor.store.keys import Keys

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "kube/*.md", "workers/manifests/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)
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
    lines = text_of(page).splitlines()
    section = ""
    for line in lines:
        if header := re.fullmatch(r"    \[(\w+)\]", line):
            section = header[1]
        elif option := re.match(r"    (\w+) = ", line):
            named.append((section, option[1]))
        elif not line.startswith("    "):
            section = ""
    unknown = [(section, name) for section, name in named if section in SECTIONS and (section, name) not in OPTIONS]
    assert [(section, name) for section, name in unknown if not name.endswith(("_cmd", "_secret"))] == []


@page
def test_every_command_that_is_named_exists_with_its_flags(page: Path) -> None:
    (group,) = get_hybrid_cli_commands()
    commands = {command.name: command for command in group.subcommands}  # type: ignore[attr-defined]
    blocks = "\n".join(line for line in text_of(page).splitlines() if line.startswith("    "))
    told = [*re.findall(r"`(airflow hybrid [^`]+)`", text_of(page)), *re.findall(r"airflow hybrid [^\n#]+", blocks)]
    for words in (line.split() for line in told):
        if not words[2][:1].isalpha():
            continue
        command = commands[words[2]]
        flags = {flag for argument in command.args for flag in argument.flags}
        # Titles of processes have "--" in front of what they do.
        used = {re.sub(r"[\[\],`]", "", word) for word in words[3:] if word.lstrip("[`").startswith("-")} - {"--"}
        assert used <= flags, words


def test_the_architecture_page_lists_every_kind_of_key() -> None:
    keys = Keys("any")
    kinds = {key.removeprefix(keys.prefix).partition(":")[0] for key in (*keys.examples(), keys.probe, keys.trial)}
    table = set(re.findall(r"`([a-z]+)[:`]", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")))
    assert kinds <= table
