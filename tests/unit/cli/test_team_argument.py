"""--team: which commands have it, and that it reaches the configuration, the programs that follow, and the errors."""

from __future__ import annotations

import os
from argparse import Namespace

import pytest

from hybrid_executor.cli import plainly
from hybrid_executor.cli.definition import get_hybrid_cli_commands
from hybrid_executor.config import process_config
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.config.teams import VARIABLE
from hybrid_executor.errors import ConfigError

OURS = "hybrid_executor.HybridExecutor"
WITHOUT = {"standalone", "demo", "sandbox", "migrate", "worker-probe", "agent-probe"}


@pytest.fixture(autouse=True)
def two_teams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", f"{OURS};red={OURS}")
    monkeypatch.setenv("AIRFLOW__RED___HYBRID_EXECUTOR__ROUTES", "*=kubernetes")


def run(args: Namespace) -> str:
    seen: list[str] = []

    def command(_: Namespace) -> None:
        seen.append(str(read_configured_settings(process_config()).routes))

    plainly.plainly(command)(args)
    return seen[0]


def test_every_command_about_one_executor_has_the_argument() -> None:
    [group] = get_hybrid_cli_commands()
    having = {
        command.name: any("--team" in argument.flags for argument in command.args)  # type: ignore[union-attr]
        for command in group.subcommands  # type: ignore[union-attr]
    }
    assert {name for name, has in having.items() if not has} == WITHOUT


def test_a_command_is_about_the_team_that_it_names() -> None:
    assert run(Namespace(team=None)) == "kubernetes=kubernetes, *=celery"
    assert run(Namespace(team="red")) == "*=kubernetes"
    assert os.environ[VARIABLE] == "red"


def test_a_wrong_team_ends_a_command_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(Namespace(team="rod"))
    assert ended.value.code == plainly.EXIT_ERROR
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("airflow hybrid: [core] executor names no team 'rod'. Did you mean red?")


def test_an_error_is_written_for_the_team(capsys: pytest.CaptureFixture[str]) -> None:
    def command(_: Namespace) -> None:
        raise ConfigError("Set [hybrid_executor] redis_url, then run airflow hybrid worker.")

    with pytest.raises(SystemExit):
        plainly.quietly(command)(Namespace(team="red"))
    assert capsys.readouterr().err == (
        "airflow hybrid: Set [red=hybrid_executor] redis_url, then run airflow hybrid worker --team red.\n"
    )
