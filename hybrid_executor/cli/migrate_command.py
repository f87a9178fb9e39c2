"""``airflow hybrid migrate``: what has to change so that a deployment of another executor runs on this one."""

from __future__ import annotations

import os
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from hybrid_executor.cli.output import BAD, DIM, GOOD, WARN, Column, Output, output_of
from hybrid_executor.cli.plainly import apart
from hybrid_executor.compat import airflow_version
from hybrid_executor.errors import ConfigError
from hybrid_executor.migration.config_text import ConfigText
from hybrid_executor.migration.configuration import Configuration, hide_line
from hybrid_executor.migration.environment import EnvironmentText, airflow_variables
from hybrid_executor.migration.finding import Finding, Kind
from hybrid_executor.migration.options import UNKNOWN_REDIS
from hybrid_executor.migration.report import Report, Request, migrate

if TYPE_CHECKING:
    from hybrid_executor.cli.output import Row

_TITLES: tuple[tuple[Kind, str, str], ...] = (
    ("blocked", "Decide this first", BAD),
    ("change", "Has to change", BAD),
    ("check", "Check this: it cannot be seen from here", WARN),
    ("behaviour", "Behaves differently", ""),
    ("gone", "Does not exist any more, or has no effect", DIM),
    ("kept", "Needs no change", GOOD),
)
_GUIDE = "docs/migration.md"


@apart
def migrate_deployment(args: Namespace) -> int:
    """Print the report, write the files if asked to, and return 1 for ``--check`` if something has to change."""
    old = _read(args)
    report = migrate(old, _request(args))
    output = output_of(args)
    written = _write(old, report) if args.write else []
    if output.is_data:
        output.data({**_data(report), "written": written})
    elif output.format == "plain":
        output.rows([vars(finding) for finding in report.findings], ["kind", "subject", "what", "instead"])
    else:
        _show(output, report, written)
    return 1 if args.check and report.needs_work else 0


def _read(args: Namespace) -> Configuration:
    """Return the configuration that the arguments name; without names, that of this process."""
    file, environment, environment_file = None, {}, None
    if args.config:
        file = ConfigText(args.config, _text_of(args.config))
    if args.env_file:
        environment_file = EnvironmentText(args.env_file, _text_of(args.env_file))
    if not args.config and not args.env_file:
        from airflow.configuration import AIRFLOW_CONFIG

        environment = airflow_variables(os.environ)
        file = ConfigText(AIRFLOW_CONFIG, _text_of(AIRFLOW_CONFIG)) if Path(AIRFLOW_CONFIG).exists() else None
    return Configuration(file, environment, environment_file)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): name a file that exists.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text in UTF-8: name an airflow.cfg or a file with variables.") from error


def _request(args: Namespace) -> Request:
    from airflow.cli.commands.config_command import CONFIGS_CHANGES

    # Rows about another default name options that still exist.
    removed = [row.config for row in CONFIGS_CHANGES if row.was_removed and not row.default_change]
    return Request(
        dags=Path(args.dags) if args.dags else None,
        templates=args.template or (),
        executor=args.executor or "",
        redis_url=args.redis_url,
        api_url=args.api_url,
        airflow_version=airflow_version(),
        airflow_changes=[(row.section, row.option) for row in removed],
    )


def _write(old: Configuration, report: Report) -> list[str]:
    """Write the proposed files beside backups of the old ones, and return the paths of both.

    :raises ConfigError: nothing was written.
    """
    new = report.configuration
    if new.get("hybrid_executor", "redis_url") == UNKNOWN_REDIS:
        raise ConfigError("Nothing was written, since the Redis is not known: name it with --redis-url URL.")
    written: list[str] = []
    for before, after in ((old.file, new.file), (old.environment_file, new.environment_file)):
        if after is None or before is None or before.text == after.text:
            continue
        path = Path(after.name).resolve()
        try:
            written += _replace(path, after.text)
        except OSError as error:
            done = f" Written before that: {', '.join(written)}." if written else " Nothing was written."
            raise ConfigError(f"{path} cannot be written ({error.strerror}).{done}") from error
    return written


def _replace(path: Path, text: str) -> list[str]:
    """Put a new file in the place of an old one, of which a backup stays. Both have its permissions."""
    backup = path.with_name(path.name + ".before-migration")
    number = 1
    while backup.exists():
        number += 1
        backup = path.with_name(f"{path.name}.before-migration-{number}")
    shutil.copy2(path, backup)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        shutil.copymode(path, name)
        if os.geteuid() == 0:
            owner = path.stat()
            os.chown(name, owner.st_uid, owner.st_gid)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return [str(path), str(backup)]


def _data(report: Report) -> dict[str, object]:
    public = {name: value for name, value in vars(report).items() if name != "configuration"}
    hidden = {name: _shown(name, value) for name, value in report.variables.items()}
    return {**public, "variables": hidden, "needs_work": report.needs_work, "is_blocked": report.is_blocked}


def _shown(name: str, value: str | None) -> str | None:
    return None if value is None else hide_line(f" {name}={value}").partition("=")[2]


def _show(output: Output, report: Report, written: Sequence[str]) -> None:
    output.words(f"{report.executor} -> {report.new_executor or 'nothing to migrate'}", style="bold")
    _show_diff(output, report)
    for kind, title, style in _TITLES:
        findings = [finding for finding in report.findings if finding.kind == kind]
        if findings:
            output.console.print()
            output.words(f"{title} ({len(findings)})", style=style or "bold")
            _show_findings(output, findings)
    if report.queues:
        _show_queues(output, report)
    if written:
        output.console.print()
        output.words(f"Written: {', '.join(written[::2])}. Backup: {', '.join(written[1::2])}.", style=GOOD)
    output.console.print()
    output.words(_next(report, is_written=bool(written)))


def _show_diff(output: Output, report: Report) -> None:
    styles = {"+": "green", "-": "red", "@": "cyan"}
    if report.diff:
        output.console.print()
    for line in report.diff.splitlines():
        output.console.print(Text(line, style=styles.get(line[:1], "")), soft_wrap=True)
    if report.variables:
        output.console.print()
        output.words("Environment variables to set:", style="bold")
    for name, value in report.variables.items():
        output.words(f"unset {name}" if value is None else f"{name}={_shown(name, value)}", indent=2)


def _show_findings(output: Output, findings: Sequence[Finding]) -> None:
    """Print findings; a reason that several in a row share is printed once, after the last one."""
    for finding, following in zip_longest(findings, findings[1:]):
        output.words(finding.subject, indent=2, style="bold")
        output.words(finding.what, indent=4)
        if finding.instead:
            output.words(f"-> {finding.instead}", indent=4)
        if following and (following.why, following.documented) == (finding.why, finding.documented):
            continue
        because = f"because {finding.why}" if finding.why else ""
        output.words(" · ".join(filter(None, (because, finding.documented))), indent=4, style=DIM)


def _show_queues(output: Output, report: Report) -> None:
    def style(row: Row) -> str:
        return GOOD if row["pool"] == row["new_pool"] else BAD

    rows = [
        {**vars(move), "executor": move.executor or "(default)", "queue": move.queue or "(default)"}
        for move in report.queues
    ]
    has_executors = any(move.executor for move in report.queues)
    is_same = all(move.pool == move.new_pool for move in report.queues)
    pools = [Column("new_pool", "pool, as before")]
    if not is_same:
        pools = [Column("pool", "ran in"), Column("new_pool", "runs in", style=style)]
    output.rows(
        rows,
        [
            *(["executor"] if has_executors else []),
            "queue",
            *([Column("new_queue", "queue now")] if has_executors else []),
            *pools,
            *([] if has_executors else ["route"]),
            Column("tasks", "uses", is_number=True),
        ],
        title="Where tasks run",
    )


def _next(report: Report, *, is_written: bool) -> str:
    if not report.new_executor:
        return f"Nothing was changed. {_GUIDE} says which executors can be migrated."
    if not report.needs_work:
        return "Nothing has to change."
    how = ""
    if not is_written and report.diff:
        how = "Nothing was changed: --write writes the configuration, beside a backup. "
    elif report.variables:
        how = "Nothing was changed: set the variables where your deployment sets them. "
    return (
        f"{how}Next: {_GUIDE} has the order of the steps; 'airflow hybrid doctor' checks the new configuration, and "
        "'airflow hybrid routes --dags' shows where each task goes."
    )
