"""Errors of ours are one line on stderr and exit code 2."""

from __future__ import annotations

from argparse import Namespace

import pytest

from hybrid_executor.cli.plainly import plainly
from hybrid_executor.errors import ConfigError


def test_an_error_of_ours_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    @plainly
    def command(args: Namespace) -> None:
        raise ConfigError("write something else")

    with pytest.raises(SystemExit) as exit_info:
        command(Namespace())
    assert exit_info.value.code == 2
    assert capsys.readouterr().err == "airflow hybrid: write something else\n"


def test_any_other_error_keeps_its_traceback() -> None:
    @plainly
    def command(args: Namespace) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command(Namespace())


def test_what_a_command_returns_is_its_exit_code() -> None:
    @plainly
    def command(args: Namespace) -> int:
        return int(args.code)

    with pytest.raises(SystemExit) as exit_info:
        command(Namespace(code=3))
    assert exit_info.value.code == 3
    command(Namespace(code=0))
