"""A worker imports the modules of plugins and libraries that its processes can share, and leaves others to them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from airflow.sdk.providers_manager_runtime import PluginInfo, ProvidersManagerTaskRuntime

from hybrid_workers import tried_modules
from hybrid_workers.tried_modules import import_tried_modules
from tests.leaks import shared

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked for trial on Linux")

_MODULES = {
    "plain_plugin": "print('imported')\nclass Plugin: ...",
    "blas_plugin": "import os, threading as t\n"
    "end = t.Event()\nthread = t.Thread(target=end.wait)\nthread.start()\n"
    "os.register_at_fork(before=lambda: (end.set(), thread.join()))\nclass Plugin: ...",
    "fails_plugin": "1 / 0",
    "nameless_plugin": "",
    "ends_plugin": "import sys; sys.exit(0)",
    "thread_plugin": "import threading as t\nt.Thread(target=t.Event().wait, daemon=True).start()\nclass Plugin: ...",
    "socket_plugin": "import socket\nkept = socket.socket()\nclass Plugin: ...",
    "hangs_plugin": "import time\ntime.sleep(60)",
}
_SHARED = {"plain_plugin", "blas_plugin"}


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, text in _MODULES.items():
        tmp_path.joinpath(f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = [EntryPoint(name, f"{name}:Plugin", "airflow.plugins") for name in _MODULES]
    monkeypatch.setattr(tried_modules, "entry_points", lambda group: entries)
    monkeypatch.setattr(tried_modules, "_LIBRARIES", ())
    monkeypatch.setattr(tried_modules, "_TRIAL_SECONDS", 1)
    monkeypatch.setattr(tried_modules, "_judged", set())
    yield
    for name in _MODULES:
        sys.modules.pop(name, None)


def test_only_modules_that_can_be_shared_are_imported(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hybrid_workers")
    with shared():
        import_tried_modules()
        import_tried_modules()  # a worker comes here twice
    assert set(_MODULES) & set(sys.modules) == _SHARED
    assert capfd.readouterr().out.count("imported") == 1
    left = [name for name in _MODULES if caplog.text.count(f"Each task imports {name}:Plugin for itself") == 1]
    assert left == [name for name in _MODULES if name not in _SHARED]


def test_plugins_of_providers_are_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = PluginInfo("plain", "plain_plugin.Plugin", "a-provider")
    monkeypatch.setattr(tried_modules, "entry_points", lambda group: [])
    monkeypatch.setattr(ProvidersManagerTaskRuntime, "plugins", property(lambda _: [plugin]))
    import_tried_modules()
    assert "plain_plugin" in sys.modules


def test_libraries_are_where_they_are_installed_and_can_be_shared(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hybrid_workers")
    monkeypatch.setattr(tried_modules, "entry_points", lambda group: [])
    monkeypatch.setattr(tried_modules, "_LIBRARIES", ("blas_plugin", "thread_plugin", "not_installed"))
    with shared():
        import_tried_modules()
    assert set(_MODULES) & set(sys.modules) == {"blas_plugin"}
    assert [line for line in caplog.messages if line.startswith("Each task imports thread_plugin for itself")]
    assert "not_installed" not in caplog.text
