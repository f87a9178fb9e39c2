"""The pages that change something: a question, and the answer to it."""

from __future__ import annotations

from typing import Annotated

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
from hybrid_executor.store import Record

router = APIRouter()

_PATIENCE_SECONDS = 8.0


@router.get("/confirm", dependencies=[Depends(access.sees_page)])
async def ask_about_member(context: ContextDep, user: GetUserDep, action: str, name: str) -> Response:
    """Ask whether to do something to a worker or an agent."""
    chosen = await _permitted(user, action)
    member = await context.reading.once(
        lambda: find_member(context.deployment.open()[1], chosen, name), patience_seconds=_PATIENCE_SECONDS
    )
    return render(
        "confirm",
        title=chosen.question.format(name=name),
        effects=[chosen.effect],
        address="do",
        fields={"action": action, "name": name},
        takes_queue=chosen.takes_queue,
        queues=queues_of(member),
        button=chosen.verb,
        back="./",
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
) -> Response:
    """Do something to a worker or an agent."""
    chosen = await _permitted(user, action)
    details = {chosen.kind: name, **({"queue": queue} if chosen.takes_queue else {})}
    return await perform(
        request,
        context,
        user=user,
        token=token,
        write_row=lambda: audit.record(action.replace("-", " "), user=user, details=details),
        do=lambda: chosen.do(context.deployment.open()[1], name, queue),
        back="./",
    )


@router.get("/confirm-revoke")
async def ask_about_attempt(context: ContextDep, user: GetUserDep, attempt: str) -> Response:
    """Ask whether to revoke an attempt."""
    record = await _revocable(context, user, attempt)
    settings, _ = context.deployment.open()
    return render(
        "confirm",
        title=f"Revoke {record.name}?",
        effects=revoking.effects_of(record, settings),
        address="revoke",
        fields={"attempt": attempt},
        takes_queue="",
        button="Revoke",
        back=_tab_of(record),
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
    record = await _revocable(context, user, attempt)
    return await perform(
        request,
        context,
        user=user,
        token=token,
        write_row=lambda: audit.record("revoke attempt", user=user, details={"attempt": attempt}, task=record),
        do=lambda: revoking.revoke(*context.deployment.open(), record, by=user.get_name()),
        back=_tab_of(record),
    )


async def _permitted(user: access.User, name: str) -> Action:
    """Return an action that the user may do.

    :raises HTTPException: 404 if there is none, 403 if the user may not do it.
    """
    action = ACTIONS.get(name)
    if action is None:
        raise HTTPException(404)
    if not await run_in_threadpool(access.may_operate, user):
        raise HTTPException(403)
    return action


async def _revocable(context: Context, user: access.User, attempt: str) -> Record:
    """Return the record of an attempt that the user may revoke. The Dag is the record's, not one that a browser names.

    :raises HTTPException: 403 if there is none or the user may not revoke it, so that nobody can find out which exist.
    """
    record = await context.reading.once(
        lambda: revoking.find(context.deployment.open()[1], attempt), patience_seconds=_PATIENCE_SECONDS
    )

    def is_permitted() -> bool:
        if record is None:
            return False
        return access.may_revoke(user, record.dag_id) if record.kind == "task" else access.may_operate(user)

    if record is None or not await run_in_threadpool(is_permitted):
        raise HTTPException(403)
    return record


def _tab_of(record: Record) -> str:
    if record.kind != "task":
        return "./"
    return tab_of_task(record.dag_id, record.run_id, record.task_id, record.map_index)
