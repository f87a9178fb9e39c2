"""What a parse reads is noted, unless it is part of an installed package."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hybrid_workers.parsed.watch import ParseWatch


def test_of_installed_packages_only_those_that_are_the_bundle_are_looked_at(tmp_path: Path) -> None:
    package, file = os.path.dirname(pytest.__file__), pytest.__file__
    elsewhere, within = ParseWatch(str(tmp_path)), ParseWatch(package)
    for watch in (elsewhere, within):
        watch.note(file)
        watch.note(package)
        watch.note(os.__file__)
        watch.note(tmp_path)
    assert set(elsewhere.read) == {str(tmp_path)}
    assert set(within.read) == {file, package, str(tmp_path)}
