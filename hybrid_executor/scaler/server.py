"""The HTTP server: ``/queues/<queue>``, ``/agents/<cluster>``, and ``/health``.

Promises: an answer within 3 s, whatever Redis does. 503 where it cannot be asked: to an autoscaler "unknown" must not
look like "no work". One thread reads the store, however many ask.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from hybrid_executor.complaints import REDIS, REDIS_BACK, Complaints
from hybrid_executor.config import Settings
from hybrid_executor.errors import ConfigError, HybridError
from hybrid_executor.insight.facts import read_facts
from hybrid_executor.scaler.demand import ClusterDemand, Demand, QueueDemand, count_demand
from hybrid_executor.scaler.reading import FRESH_SECONDS, Readings
from hybrid_executor.store import Store

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[JSONResponse]]


def make_app(
    store: Store, settings: Settings, *, token_file: Path | None = None, fresh_seconds: float = FRESH_SECONDS
) -> Starlette:
    """Return the application. Nothing is read yet.

    :param token_file: a file with the token that requests must bring; it is read for each request, so that it can be
        replaced. ``None`` for no token.
    :param fresh_seconds: all requests within this time share one reading.
    :raises ConfigError: the file cannot be read, or is empty.
    """
    if token_file is not None:
        read_token(token_file)
    executor = ThreadPoolExecutor(1, thread_name_prefix="read-store")
    readings = Readings(
        lambda: count_demand(read_facts(store, settings), settings), executor, fresh_seconds=fresh_seconds
    )
    answers = Answers(settings, readings, token_file=token_file)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        executor.shutdown(wait=False, cancel_futures=True)

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/health", answers.health),
            Route("/queues", answers.guarded(answers.queues)),
            Route("/queues/{queue:path}", answers.guarded(answers.queue)),
            Route("/agents", answers.guarded(answers.clusters)),
            Route("/agents/{cluster:path}", answers.guarded(answers.cluster)),
        ],
    )


def read_token(path: Path) -> str:
    """Return the token in a file.

    :raises ConfigError: there is none.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        words = f"The token file {path} cannot be read ({type(error).__name__}): correct --token-file"
        raise ConfigError(words) from None
    if not token:
        raise ConfigError(f"The token file {path} is empty: write the token into it")
    return token


class Answers:
    """What each path answers."""

    def __init__(self, settings: Settings, readings: Readings, *, token_file: Path | None) -> None:
        self._settings = settings
        self._readings = readings
        self._token_file = token_file
        self._complaints = Complaints()

    async def health(self, _: Request) -> JSONResponse:
        """Answer that this process lives. An unavailable Redis is no reason to start it again."""
        return JSONResponse({"status": "ok"})

    async def queues(self, _: Request) -> JSONResponse:
        """Answer all queues of workers that have attempts or workers."""
        demand = await self._readings.demand()
        return JSONResponse({name: asdict(queue) for name, queue in sorted(demand.queues.items())})

    async def queue(self, request: Request) -> JSONResponse:
        """Answer one queue. One without attempts and workers needs no slot."""
        name = request.path_params["queue"]
        route = self._settings.routes.find(name)
        if not route.reaches("celery"):
            where = f"/agents/{self._settings.cluster_of(name)}" if route.pool == "kubernetes" else "nothing"
            return _refuse(404, f"Queue {name} is routed to {route.pool}, not to workers: ask {where}")
        demand: Demand = await self._readings.demand()
        return JSONResponse({"queue": name, **asdict(demand.queues.get(name, QueueDemand()))})

    async def clusters(self, _: Request) -> JSONResponse:
        """Answer all clusters of the routes."""
        demand = await self._readings.demand()
        names = sorted({*self._settings.clusters, *demand.clusters})
        return JSONResponse({name: asdict(demand.clusters.get(name, ClusterDemand())) for name in names})

    async def cluster(self, request: Request) -> JSONResponse:
        """Answer one cluster."""
        name = request.path_params["cluster"]
        if name not in self._settings.clusters:
            known = ", ".join(sorted(self._settings.clusters)) or "none"
            return _refuse(404, f"No route leads to a cluster {name}; the clusters of the routes are: {known}")
        demand: Demand = await self._readings.demand()
        return JSONResponse({"cluster": name, **asdict(demand.clusters.get(name, ClusterDemand()))})

    def guarded(self, handler: Handler) -> Handler:
        """Return a handler that asks for the token, and answers 503 where nothing is known."""

        async def handle(request: Request) -> JSONResponse:
            try:
                if not self._is_allowed(request):
                    return _refuse(401, "The token is missing or wrong: send 'Authorization: Bearer TOKEN'")
                answer = await handler(request)
            except HybridError as error:
                self._complaints.report(REDIS, "No number can be given, answering 503: %s", error)
                return _refuse(503, str(error))
            except Exception:  # noqa: BLE001 - whatever is wrong, an autoscaler must not take it for "no work"
                log.exception("A request could not be answered: %s", request.url.path)
                return _refuse(503, "The scaler failed; its log says why")
            if answer.status_code == 200:
                self._complaints.settle(REDIS, REDIS_BACK)
            return answer

        return handle

    def _is_allowed(self, request: Request) -> bool:
        if self._token_file is None:
            return True
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        wanted = read_token(self._token_file)
        return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), wanted.encode())


def _refuse(code: int, words: str) -> JSONResponse:
    headers: dict[str, Any] = {"WWW-Authenticate": "Bearer"} if code == 401 else {}
    return JSONResponse({"error": words}, status_code=code, headers=headers)
