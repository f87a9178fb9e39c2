"""The pages that show something."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from hybrid_executor.plugin.page import access, shown, telling
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


@router.get("/task", dependencies=[Depends(access.reads_tasks)])
async def show_task(
    context: ContextDep,
    user: GetUserDep,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: str = "-1",
    part: Part = "",
    notice: str = "",
) -> Response:
    """Answer with the story of a task instance."""
    name = telling.TaskName(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=telling.parse_map_index(map_index))
    return await answer(
        context,
        Page(template="task", title=name.words, subtitle=run_id, is_part=part == "live", notice=notice),
        key=name,
        question=lambda: telling.tell_task(*context.deployment.open(), name),
        fit=lambda story: telling.fit_story(story, user),
    )


@router.get("/run", dependencies=[Depends(access.reads_tasks)])
async def show_run(context: ContextDep, dag_id: str, run_id: str, part: Part = "", notice: str = "") -> Response:
    """Answer with the attempts of a run."""
    return await answer(
        context,
        Page(template="run", title=dag_id, subtitle=run_id, is_part=part == "live", notice=notice),
        key=("run", dag_id, run_id),
        question=lambda: telling.read_run(context.deployment.open()[1], dag_id, run_id),
        fit=telling.fit_run,
    )
