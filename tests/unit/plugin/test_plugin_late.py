"""The plugin costs the processes that do not show its page nothing, and its page is made at the first request."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from hybrid_executor.plugin.late import LateApp

_made: list[str] = []


def make_counted() -> Any:
    """Return an app; counts how often."""
    _made.append("app")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})

    return app


def make_once_broken() -> Any:
    """Fail the first time."""
    _made.append("try")
    if len(_made) == 1:
        raise ImportError("not yet")
    return make_counted()


@pytest.fixture(autouse=True)
def nothing_made() -> None:
    _made.clear()


async def ask(app: LateApp) -> Any:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http"}, None, send)  # type: ignore[arg-type]
    return sent[0]["status"]


def test_it_is_made_once_however_many_ask_first() -> None:
    app = LateApp(f"{__name__}:make_counted")

    async def several() -> list[Any]:
        return await asyncio.gather(*(ask(app) for _ in range(5)))

    assert asyncio.run(several()) == [204] * 5
    assert _made == ["app"]


def test_a_failed_import_is_tried_again() -> None:
    app = LateApp(f"{__name__}:make_once_broken")
    with pytest.raises(ImportError):
        asyncio.run(ask(app))
    assert asyncio.run(ask(app)) == 204


def test_loading_the_plugin_imports_neither_the_page_nor_a_web_framework() -> None:
    program = (
        "import sys, airflow.plugins_manager; before = set(sys.modules); import hybrid_executor.plugin; "
        "print(*sorted(name for name in set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = ("fastapi", "starlette", "jinja2", "redis", "kubernetes", "celery", "hybrid_executor.store")
    loaded = done.stdout.split()
    assert "hybrid_executor.plugin.views" in loaded
    assert [name for name in loaded if name.startswith((*heavy, "hybrid_executor.plugin.page"))] == []
