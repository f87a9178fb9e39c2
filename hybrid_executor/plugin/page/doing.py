"""The pages that change something: a question, and the answer to it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hybrid_executor.plugin.page import access, audit, revoking
from hybrid_executor.plugin.page.actions import ACTIONS, Action, find_member, queues_of
from hybrid_executor.plugin.page.addresses import tab_of_task
from hybrid_executor.plugin.page.context import Context, ContextDep
from hybrid_executor.plugin.page.performing import perform
from hybrid_executor.plugin.page.rendering import render

router = APIRouter()

_PATIENCE_SECONDS = 8.0


@router.get("/confirm", dependencies=[Depends(access.sees_page)])
async def ask_about_member(context: ContextDep, user: GetUserDep, action: str, name: str, team: str = "") -> Response:
    """Ask whether to do something to a worker or an agent."""
    chosen = await _permitted(context, user, action, team)
    member = await context.reading.once(
        lambda: find_member(context.deployment.open(team)[1], chosen, name), patience_seconds=_PATIENCE_SECONDS
    )
    return render(
        "confirm",
        title=chosen.question.format(name=name),
        effects=[chosen.effect],
        address="do",
        fields={"action": action, "name": name, "team": team},
        takes_queue=chosen.takes_queue,
        queues=queues_of(member),
        button=chosen.verb,
        back=_page_of(team),
        token=context.tokens.make_form(user.get_id()),
    )


@router.post("/do", dependencies=[Depends(access.sees_page)])
async def do_to_member(
    request: Request,
    context: ContextDep,
    user: GetUserDep,
    action: Annotated[str, Form()],
    name: Annotated[str, Form()],
    token: Annotated[str, Form()],
    queue: Annotated[str, Form()] = "",
    team: Annotated[str, Form()] = "",
) -> Response:
    """Do something to a worker or an agent."""
    chosen = await _permitted(context, user, action, team)
    details = {
        chosen.kind: name,
        **({"queue": queue} if chosen.takes_queue else {}),
        **({"team": team} if team else {}),
    }
    return await perform(
        request,
        context,
        user=user,
        token=token,
        write_row=lambda: audit.record(action.replace("-", " "), user=user, details=details),
        do=lambda: chosen.do(context.deployment.open(team)[1], name, queue),
        back=_page_of(team),
    )


@router.get("/confirm-revoke")
async def ask_about_attempt(context: ContextDep, user: GetUserDep, attempt: str) -> Response:
    """Ask whether to revoke an attempt."""
    found = await _revocable(context, user, attempt)
    return render(
        "confirm",
        title=f"Revoke {found.record.name}?",
        effects=revoking.effects_of(found.record, found.settings),
        address="revoke",
        fields={"attempt": attempt},
        takes_queue="",
        button="Revoke",
        back=_tab_of(found),
        token=context.tokens.make_form(user.get_id()),
    )


@router.post("/revoke")
async def revoke_attempt(
    request: Request,
    context: ContextDep,
    user: GetUserDep,
    attempt: Annotated[str, Form()],
    token: Annotated[str, Form()],
) -> Response:
    """Revoke an attempt."""
    found = await _revocable(context, user, attempt)
    return await perform(
        request,
        context,
        user=user,
        token=token,
        write_row=lambda: audit.record("revoke attempt", user=user, details={"attempt": attempt}, task=found.record),
        do=lambda: revoking.revoke(found, by=user.get_name()),
        back=_tab_of(found),
    )


async def _permitted(context: Context, user: access.User, name: str, team: str) -> Action:
    """Return an action that the user may do to workers and agents of a team.

    :raises HTTPException: 404 if there is none, 403 if the user may not do it or there is no such team.
    """
    action = ACTIONS.get(name)
    if action is None:
        raise HTTPException(404)

    def is_permitted() -> bool:
        return team in access.visible_teams(user, context.deployment.teams()) and access.may_operate(user, team)

    if not await run_in_threadpool(is_permitted):
        raise HTTPException(403)
    return action


async def _revocable(context: Context, user: access.User, attempt: str) -> revoking.Found:
    """Return the record of an attempt that the user may revoke. The Dag is the record's, not one that a browser names.

    :raises HTTPException: 403 if there is none or the user may not revoke it, so that nobody can find out which exist.
    """
    candidates = await context.reading.once(
        lambda: revoking.find(context.deployment, attempt), patience_seconds=_PATIENCE_SECONDS
    )

    def choose_permitted() -> revoking.Found | None:
        return next((found for found in candidates if _may_revoke(user, found)), None)

    chosen = await run_in_threadpool(choose_permitted)
    if chosen is None:
        raise HTTPException(403)
    return chosen


def _may_revoke(user: access.User, found: revoking.Found) -> bool:
    record, team = found.record, found.settings.team
    return access.may_revoke(user, record.dag_id) if record.kind == "task" else access.may_operate(user, team)


def _page_of(team: str) -> str:
    return f"./?{urlencode({'team': team})}" if team else "./"


def _tab_of(found: revoking.Found) -> str:
    record = found.record
    if record.kind != "task":
        return _page_of(found.settings.team)
    return tab_of_task(record.dag_id, record.run_id, record.task_id, record.map_index)
