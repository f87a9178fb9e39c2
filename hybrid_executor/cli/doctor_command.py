"""``airflow hybrid doctor``: examines Redis, clusters, Airflow's configuration, workers and agents."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

from hybrid_executor.cli.output import BAD, DIM, GOOD, WARN, Column, Output, Row, output_of
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.config import process_config
from hybrid_executor.doctor import PARTS, Finding, examine
from hybrid_executor.doctor.findings import has_failed
from hybrid_executor.errors import HybridError

_STYLES = {"ok": GOOD, "warning": WARN, "failure": BAD, "unknown": DIM}
_TITLES = {"redis": "Redis", "kubernetes": "Kubernetes", "airflow": "Airflow", "workers": "Schedulers, workers, agents"}
_NOISY = ("hybrid_executor", "urllib3", "celery", "kombu")


@plainly
def doctor(args: Namespace) -> int:
    """Examine the deployment and print what was found; the exit code is 1 if something has failed."""
    for part in args.parts:
        if part not in PARTS:
            raise HybridError(f"Unknown part {part!r}: write {', '.join(PARTS)}, or nothing for all.")
    with _without_logs():
        findings = examine(process_config(), args.parts)
    output = output_of(args)
    failed = has_failed(findings, is_strict=args.strict)
    if output.is_data:
        output.data({"healthy": not failed, **counts_of(findings), "findings": findings})
    elif output.format == "plain":
        output.rows([_row(finding) for finding in findings], ["part", "subject", "level", "check", "what", "cure"])
    else:
        show([finding for finding in findings if finding.level != "ok" or not args.quiet], output)
        words, style = summary_of(findings)
        output.words(words, style=style)
    return int(failed)


def show(findings: Sequence[Finding], output: Output) -> None:
    """Print the findings by what they are about, and what to do about each."""
    columns = [Column("level", "", style=_style), Column("check", ""), Column("what", "")]
    for (part, subject), group in groupby(findings, key=lambda finding: (finding.part, finding.subject)):
        rows = [_row(finding) for finding in group]
        for row in rows:
            row["what"] = f"{row['what']}\n-> {row['cure']}" if row["cure"] else row["what"]
        title = f"{_TITLES.get(part, part)}: {subject}" if subject else _TITLES.get(part, part)
        output.rows(rows, columns, title=title)


def summary_of(findings: Sequence[Finding]) -> tuple[str, str]:
    """Return the last line with its style: how many findings there are of each level."""
    counted = counts_of(findings)
    words = f"{_many(counted['failures'], 'failure')}, {_many(counted['warnings'], 'warning')}, {counted['ok']} ok"
    words += f", {counted['unknown']} unknown" if counted["unknown"] else ""
    style = BAD if counted["failures"] else WARN if counted["warnings"] else GOOD
    return f"{words}.", style


def counts_of(findings: Sequence[Finding]) -> dict[str, int]:
    """Return how many findings there are of each level."""
    counted = Counter(finding.level for finding in findings)
    return {
        "failures": counted["failure"],
        "warnings": counted["warning"],
        "ok": counted["ok"],
        "unknown": counted["unknown"],
    }


def _row(finding: Finding) -> dict[str, str]:
    return {
        "part": finding.part,
        "subject": finding.subject,
        "level": finding.level,
        "check": finding.check,
        "what": finding.what,
        "cure": finding.cure,
    }


def _style(row: Row) -> str:
    return _STYLES[row["level"]]


def _many(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


@contextmanager
def _without_logs() -> Iterator[None]:
    """Keep quiet what the checks' libraries log: all of it is in the findings."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
