"""What all requests of one process share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from airflow.api_fastapi.auth.tokens import get_signing_key
from fastapi import Depends, Request

from hybrid_executor.plugin.page.deployment import Deployment
from hybrid_executor.plugin.page.forgery import Tokens
from hybrid_executor.plugin.page.reading import Reading


def _make_tokens() -> Tokens:
    return Tokens(get_signing_key("api", "secret_key"))


@dataclass(kw_only=True)
class Context:
    """Settings and store, the threads that ask questions, and the signatures of forms."""

    deployment: Deployment = field(default_factory=Deployment)
    reading: Reading = field(default_factory=Reading)
    tokens: Tokens = field(default_factory=_make_tokens)

    def close(self) -> None:
        """End threads and close connections."""
        self.reading.close()
        self.deployment.close()


def _context_of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(_context_of)]
