"""What the buttons do. Each action is confirmed on a page of its own, and works without scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hybrid_executor.operations import agents, workers
from hybrid_executor.operations.done import Done
from hybrid_executor.operations.members import names_in
from hybrid_executor.store import Member, Store

OBEYED_SECONDS = 5.0
"""How long the browser waits for a worker or agent to obey. They do within about a second."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """What may be done to a worker or an agent.

    :ivar verb: the words of its link, such as "Drain".
    :ivar kind: ``worker`` or ``agent``.
    :ivar question: asked before; ``{name}`` is replaced.
    :ivar effect: what it does and does not do, in sentences.
    :ivar takes_queue: the person also names a queue: ``any``, or one that the worker ``has``; "" for none.
    :ivar do: does it, and returns what became of it.
    """

    verb: str
    kind: str
    question: str
    effect: str
    do: Callable[[Store, str, str], list[Done]]
    takes_queue: Literal["", "any", "has"] = ""


def _on_worker(operation: Callable[..., list[Done]]) -> Callable[[Store, str, str], list[Done]]:
    return lambda store, name, _: operation(store, workers.choose_workers(store, name=name), seconds=OBEYED_SECONDS)


def _on_queue(operation: Callable[..., list[Done]]) -> Callable[[Store, str, str], list[Done]]:
    return lambda store, name, queue: operation(
        store, workers.choose_workers(store, name=name), queue.strip(), seconds=OBEYED_SECONDS
    )


def _on_agent(operation: Callable[..., list[Done]]) -> Callable[[Store, str, str], list[Done]]:
    return lambda store, name, _: operation(store, agents.choose_agents(store, name=name), seconds=OBEYED_SECONDS)


ACTIONS: Mapping[str, Action] = {
    "drain-worker": Action(
        verb="Drain",
        kind="worker",
        question="Drain worker {name}?",
        effect="It takes no new tasks. The tasks that it runs continue. Resume lets it take tasks again.",
        do=_on_worker(workers.drain_workers),
    ),
    "resume-worker": Action(
        verb="Resume",
        kind="worker",
        question="Resume worker {name}?",
        effect="It takes new tasks from its queues again.",
        do=_on_worker(workers.resume_workers),
    ),
    "add-queue": Action(
        verb="Add queue",
        kind="worker",
        question="Let worker {name} serve one more queue?",
        effect="It takes tasks from this queue too, until it stops. After a restart it serves its own queues again.",
        takes_queue="any",
        do=_on_queue(workers.add_queue),
    ),
    "remove-queue": Action(
        verb="Remove queue",
        kind="worker",
        question="Let worker {name} stop serving a queue?",
        effect="It takes no new tasks from this queue, until it stops. The tasks that it runs continue.",
        takes_queue="has",
        do=_on_queue(workers.remove_queue),
    ),
    "drain-agent": Action(
        verb="Drain",
        kind="agent",
        question="Drain agent {name}?",
        effect="It creates no new pods, and other agents take over its watches. Pods that run continue.",
        do=_on_agent(agents.drain_agents),
    ),
    "resume-agent": Action(
        verb="Resume",
        kind="agent",
        question="Resume agent {name}?",
        effect="It creates pods again.",
        do=_on_agent(agents.resume_agents),
    ),
}


def find_member(store: Store, action: Action, name: str) -> Member:
    """Return the living worker or agent that an action is for.

    :raises ConfigError: there is none; the message names the living ones.
    :raises StoreUnavailable: Redis could not be asked.
    """
    if action.kind == "agent":
        return agents.choose_agents(store, name=name)[0]
    return workers.choose_workers(store, name=name)[0]


def queues_of(member: Member) -> list[str]:
    """Return the queues that a worker serves, or will serve when it takes tasks again."""
    return sorted(names_in(member, "queues") | names_in(member, "paused_queues"))


def actions_for(kind: str, state: str) -> Sequence[tuple[str, Action]]:
    """Return the actions that make sense for a worker or an agent in a state, with their names."""
    left_out = f"drain-{kind}" if state in ("draining", "drained") else f"resume-{kind}"
    return [(name, action) for name, action in ACTIONS.items() if action.kind == kind and name != left_out]
