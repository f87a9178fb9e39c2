"""The pages that show something."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from hybrid_executor.plugin.page import access, shown
from hybrid_executor.plugin.page.answering import Page, answer
from hybrid_executor.plugin.page.context import ContextDep

router = APIRouter()

Part = Annotated[str, Query(description='"live" for the part that changes')]


@router.get("/", dependencies=[Depends(access.sees_page)])
async def show_executor(context: ContextDep, user: GetUserDep, part: Part = "", notice: str = "") -> Response:
    """Answer with the whole executor."""
    return await answer(
        context,
        Page(template="executor", title="Executor", is_part=part == "live", notice=notice),
        key="executor",
        question=lambda: shown.read_picture(*context.deployment.open()),
        fit=lambda picture: shown.fit_picture(picture, user),
    )
