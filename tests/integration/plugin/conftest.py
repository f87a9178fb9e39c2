"""The page's app as Airflow's API server mounts it, asked in this process."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from hybrid_executor.plugin.views import PREFIX
from hybrid_executor.store import RedisSettings, Store, open_store
from tests.waiting import wait_until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a library that Airflow's API server imports warns of another one
    from airflow.api_fastapi.app import create_auth_manager, get_auth_manager, purge_cached_app
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    from hybrid_executor.plugin.page.app import make_app

ORIGIN = "http://airflow.test"
ROLES = {
    "admin": "ADMIN",
    "op": "OP",
    "user": "USER",
    "anna": "USER",
    "author": "USER",
    "viewer": "VIEWER",
    "stranger": "VIEWER",
    "ruth": "OP",
    "bob": "OP",
}
TEAMS = {"ruth": ["red"], "bob": ["blue"]}


class Visitor:
    """Asks the page as a user of Airflow."""

    def __init__(self, root_path: str = "") -> None:
        self.app = make_app()
        self._server = FastAPI(root_path=root_path, openapi_url=None)
        self._server.mount(PREFIX, self.app)
        self._root_path = root_path

    def close(self) -> None:
        """End its threads and connections."""
        self.app.state.context.close()

    def get(self, path: str = "", *, user: str | None = "admin", **query: str) -> httpx.Response:
        """Ask for a page; without a user, without a login."""
        return self._ask("GET", path, user, **({"params": query} if query else {}))

    def get_loaded(self, path: str = "", *, user: str | None = "admin", **query: str) -> httpx.Response:
        """Ask for a page again and again while it says that it is loading, as it does on a busy machine."""

        def ask() -> httpx.Response | None:
            answer = self.get(path, user=user, **query)
            return None if "data-loading" in answer.text else answer

        return wait_until(ask, what=f"the page {path!r} has been loaded")  # type: ignore[return-value]

    def post(
        self, path: str, form: dict[str, str], *, user: str | None = "admin", origin: str | None = ORIGIN
    ) -> httpx.Response:
        """Send a form, as a browser on plain HTTP does."""
        return self._ask("POST", path, user, data=form, headers={"Origin": origin} if origin else {})

    def token(self, user: str = "admin") -> str:
        """Return the token that the user's forms have."""
        return str(self.app.state.context.tokens.make_form(user))

    def _ask(self, method: str, path: str, user: str | None, **rest: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._server, raise_app_exceptions=False)
            cookies = {"_token": _login(user)} if user else {}
            async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, cookies=cookies) as client:
                return await client.request(method, f"{self._root_path}{PREFIX}/{path}", **rest)

        return asyncio.run(ask())


def _login(user: str) -> str:
    return str(
        get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=user, role=ROLES[user], teams=TEAMS.get(user)))
    )


class _Elements(HTMLParser):
    """The elements of a page and its text, as a browser reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


class Html:
    """A page as a browser reads it."""

    def __init__(self, text: str) -> None:
        parsed = _Elements()
        parsed.feed(text)
        self.elements = parsed.elements
        self.text = " ".join(" ".join(parsed.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module", autouse=True)
def auth_manager(airflow_db: None) -> Iterator[None]:
    """Airflow's auth manager for this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "tests.integration.plugin.auth_manager.DagByDag")
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "admin:admin")
        patch.setenv("AIRFLOW__API__SECRET_KEY", "only-for-tests")
        patch.setenv("AIRFLOW__API__BASE_URL", ORIGIN)
        purge_cached_app()
        create_auth_manager()
        yield
        purge_cached_app()


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    store = open_store(RedisSettings(url=redis_url), instance="airflow", retention_seconds=60)
    yield store
    store.client.flushall()
    store.close()


@pytest.fixture
def visitor(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visitor]:
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__REDIS_URL", redis_url)
    visitor = Visitor()
    yield visitor
    visitor.close()
