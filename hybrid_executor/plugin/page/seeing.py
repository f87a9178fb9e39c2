"""The pages that show something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hybrid_executor.plugin.page import access, shown, telling
from hybrid_executor.plugin.page.answering import Page, answer
from hybrid_executor.plugin.page.context import ContextDep

router = APIRouter()

Part = Annotated[str, Query(description='"live" for the part that changes')]
Team = Annotated[str | None, Query(description='name of a team, "" for the executor of all teams')]


@router.get("/", dependencies=[Depends(access.sees_page)])
async def show_executor(
    context: ContextDep, user: GetUserDep, part: Part = "", notice: str = "", team: Team = None
) -> Response:
    """Answer with the whole executor of all teams, or of one."""
    teams = await run_in_threadpool(lambda: access.visible_teams(user, context.deployment.teams()))
    chosen = choose_team(team, teams)
    return await answer(
        context,
        Page(template="executor", title="Executor", is_part=part == "live", notice=notice),
        key=("executor", chosen),
        question=lambda: shown.read_picture(*context.deployment.open(chosen)),
        fit=lambda picture: {**shown.fit_picture(picture, user), "teams": teams},
    )


def choose_team(wanted: str | None, visible: Sequence[str]) -> str:
    """Return the team to show: the wanted one, else the first that the user may see.

    :raises HTTPException: 403, also for a team that does not exist, so that nobody can find out which do.
    """
    if wanted is None and visible:
        return visible[0]
    if wanted is None or wanted not in visible:
        raise HTTPException(403)
    return wanted


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
        question=lambda: telling.tell_task(context.deployment.open_for(dag_id), name),
        fit=lambda story: telling.fit_story(story, user),
    )


@router.get("/run", dependencies=[Depends(access.reads_tasks)])
async def show_run(context: ContextDep, dag_id: str, run_id: str, part: Part = "", notice: str = "") -> Response:
    """Answer with the attempts of a run."""
    return await answer(
        context,
        Page(template="run", title=dag_id, subtitle=run_id, is_part=part == "live", notice=notice),
        key=("run", dag_id, run_id),
        question=lambda: telling.read_run(context.deployment.open_for(dag_id), dag_id, run_id),
        fit=telling.fit_run,
    )
