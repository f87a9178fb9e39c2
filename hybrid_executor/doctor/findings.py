"""What a check has found: ok, a warning, a failure, or that it could not be found out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "failure", "unknown"]
"""``failure``: tasks do not run, or are lost. ``warning``: it works, but something should be changed. ``unknown``: this
process could not find out, which is not counted."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report.

    :ivar part, subject: what was examined, such as "kubernetes" and the name of a cluster; set by the rounds.
    :ivar check: what was looked at, in one or two words that do not change.
    :ivar what: the fact, with its numbers.
    :ivar cure: what to write or to do; "" where there is nothing to do.
    """

    level: Level
    check: str
    what: str
    cure: str = ""
    part: str = ""
    subject: str = ""


def ok(check: str, what: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(level="ok", check=check, what=what)


def warning(check: str, what: str, cure: str) -> Finding:
    """Return a finding of something that should be changed."""
    return Finding(level="warning", check=check, what=what, cure=cure)


def failure(check: str, what: str, cure: str) -> Finding:
    """Return a finding of something that keeps tasks from running, or loses them."""
    return Finding(level="failure", check=check, what=what, cure=cure)


def unknown(check: str, what: str, cure: str = "") -> Finding:
    """Return a finding that something could not be found out, and why."""
    return Finding(level="unknown", check=check, what=what, cure=cure)


def has_failed(findings: Iterable[Finding], *, is_strict: bool = False) -> bool:
    """Return whether the deployment is not well.

    :param is_strict: warnings count too.
    """
    counted = ("failure", "warning") if is_strict else ("failure",)
    return any(finding.level in counted for finding in findings)
