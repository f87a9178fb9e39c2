"""Runs the checks: those of different servers at the same time, those of one server in their order.

Promises: a check that raises, or does not end in its time, is a failure of its own. Where the first check of a server
fails, the others are not tried, so that a dead server is waited for once. :func:`examine_all` returns within
:data:`MOST_SECONDS`. A check that hangs keeps its thread, which does not keep the process alive.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from hybrid_executor.doctor.findings import Finding, failure, unknown
from hybrid_executor.errors import HybridError
from hybrid_executor.hiding import hide_secrets

CHECK_SECONDS = 10.0
"""How long one check may take. Each of its calls has a shorter limit of its own."""
SUBJECT_SECONDS = 25.0
"""How long all checks of one server may take."""
MOST_SECONDS = 30.0
"""How long everything may take."""

_BUG = "this is a mistake in the check, not in your deployment: report it with this line"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question.

    :ivar name: as in its findings.
    :ivar run: returns the findings. An error of this project becomes a failure with the error's words.
    :ivar is_gate: the checks after it make no sense where it fails.
    """

    name: str
    run: Callable[[], Iterable[Finding]]
    is_gate: bool = False
    seconds: float = CHECK_SECONDS


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One thing to examine, with all that is asked of it, in order.

    :ivar name: shown in the heading, such as the name of a cluster; "" where the part has one subject.
    :ivar close: frees what the checks have opened.
    """

    part: str
    name: str
    checks: Sequence[Check]
    close: Callable[[], None] = field(default=lambda: None)


def examine_all(
    subjects: Sequence[Subject], *, subject_seconds: float = SUBJECT_SECONDS, most_seconds: float = MOST_SECONDS
) -> list[Finding]:
    """Return the findings of all subjects, in the order of the subjects and of their checks."""
    ends_at = time.monotonic() + most_seconds
    rounds = [_Round(subject, seconds=subject_seconds) for subject in subjects]
    for each in rounds:
        each.start()
    found: list[Finding] = []
    for each in rounds:
        each.join(max(0.0, ends_at - time.monotonic()))
        found += each.findings()
    return found


class _Round(threading.Thread):
    """Examines one subject."""

    def __init__(self, subject: Subject, *, seconds: float) -> None:
        super().__init__(name=f"doctor-{subject.part}-{subject.name}", daemon=True)
        self._subject = subject
        self._ends_at = time.monotonic() + seconds
        self._found: list[Finding] = []

    def findings(self) -> list[Finding]:
        """Return what was found up to now."""
        return [replace(found, part=self._subject.part, subject=self._subject.name) for found in list(self._found)]

    def run(self) -> None:
        """Run the checks in their order."""
        checks = self._subject.checks
        for index, check in enumerate(checks):
            left = self._ends_at - time.monotonic()
            if left <= 0:
                names = ", ".join(later.name for later in checks[index:])
                cure = "make the server faster to answer, or run the command again for this part only"
                self._found.append(failure("time", f"there was no time left to check: {names}", cure))
                break
            found = run_check(check, seconds=min(left, check.seconds))
            self._found += found
            rest = ", ".join(later.name for later in checks[index + 1 :])
            if check.is_gate and rest and any(finding.level == "failure" for finding in found):
                self._found.append(unknown("not checked", f"{rest}: see the failure above"))
                break
        self._subject.close()


def run_check(check: Check, *, seconds: float) -> list[Finding]:
    """Return a check's findings, or one about the check where it raises or does not end in time."""
    found: list[list[Finding]] = []

    def run() -> None:
        found.append(_run(check))

    thread = threading.Thread(target=run, name=f"doctor-check-{check.name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if found:
        return found[0]
    cure = "find out why it does not answer: the server is frozen or overloaded, or a firewall drops its packets"
    return [failure(check.name, f"no result within {seconds:.0f} s", cure)]


def _run(check: Check) -> list[Finding]:
    try:
        return list(check.run())
    except HybridError as error:
        return [failure(check.name, str(error).rstrip("."), "")]  # these errors say themselves what to write
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one check, the others go on
        return [failure(check.name, f"the check failed: {type(error).__name__}: {hide_secrets(str(error))}", _BUG)]
