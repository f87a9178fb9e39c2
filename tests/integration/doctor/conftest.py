"""``airflow hybrid doctor``, run as its users run it: from options in the environment to its output and exit code."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from hybrid_executor.cli.doctor_command import doctor
from tests.integration.cli.exit_codes import exit_code_of
from tests.integration.conftest import set_options

SECRETS = {
    "core__executor": "hybrid_executor.HybridExecutor",
    "core__fernet_key": "kept-for-tests-kept-for-tests-kept-for-tests-kk=",
    "workers__execution_api_timeout": "60",
}


@dataclass(frozen=True)
class Report:
    """What the command printed as JSON, and its exit code."""

    code: object
    printed: dict[str, Any]

    @property
    def findings(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.printed["findings"]
        return found

    def of(self, check: str, subject: str = "") -> list[dict[str, str]]:
        """Return the findings of one check, about one subject where a part of its name is given."""
        return [item for item in self.findings if item["check"] == check and subject in item["subject"]]

    def one(self, check: str, subject: str = "") -> tuple[str, str, str]:
        """Return level, fact and cure of the one finding of a check."""
        [item] = self.of(check, subject)
        return item["level"], item["what"], item["cure"]

    @property
    def bad(self) -> list[str]:
        """What is neither ok nor unknown, by check."""
        return [item["check"] for item in self.findings if item["level"] in ("failure", "warning")]


Examine = Callable[..., Report]


@pytest.fixture
def examine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Examine:
    """Return a function that runs the command for some parts, with options given as ``section__name=value``."""

    def run(*parts: str, strict: bool = False, **options: str) -> Report:
        set_options(monkeypatch, **{**SECRETS, **options})
        args = Namespace(parts=list(parts), strict=strict, quiet=False, output="json", json=False)
        capsys.readouterr()  # what the test's own executor has logged
        code = exit_code_of(doctor, args)
        return Report(code, json.loads(capsys.readouterr().out))

    return run
