"""The addresses of the page, and what each answers. All of them are flat, so that relative links work everywhere."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from hybrid_executor.errors import HybridError
from hybrid_executor.plugin.page import doing, refusals, seeing
from hybrid_executor.plugin.page.context import Context
from hybrid_executor.plugin.page.reading import TooSlow
from hybrid_executor.plugin.page.rendering import STATIC


def make_app() -> FastAPI:
    """Return the app that Airflow's API server mounts. It opens nothing before the first request."""
    app = FastAPI(title="Executor", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.context = Context()
    app.include_router(seeing.router)
    app.include_router(doing.router)
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_exception_handler(HTTPException, refusals.answer_http_error)
    app.add_exception_handler(RequestValidationError, refusals.answer_bad_request)
    app.add_exception_handler(HybridError, refusals.answer_known_error)
    app.add_exception_handler(TooSlow, refusals.answer_slowness)
    app.add_exception_handler(SQLAlchemyError, refusals.answer_database_error)
    return app
