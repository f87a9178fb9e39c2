"""What an attempt of the Kubernetes pool waits for. Pure."""

from __future__ import annotations

from hybrid_executor.insight.attempts import AttemptView
from hybrid_executor.insight.cures import cure_for
from hybrid_executor.insight.durations import in_words, some
from hybrid_executor.insight.members import DRAINS, RefusalView
from hybrid_executor.insight.situation import Explanation, Situation

_AGAIN = "Launched again: "
_SLOW_SECONDS = 15.0
_HOW = {True: "is ready", False: "runs"}


def explain_waiting(attempt: AttemptView, around: Situation) -> Explanation:
    """Return what a submitted or launching attempt waits for: its pod does not exist yet."""
    where = f"on its way to a pod in cluster {attempt.cluster}"
    agents = around.agents_of(attempt.cluster)
    if not agents:
        return _no_agent(attempt, where)
    if attempt.note and not attempt.note.startswith(_AGAIN):
        return _refused(attempt, where, around)
    if attempt.state == "launching":
        return _launching(attempt, around)
    expires = _expires(attempt, around)
    if around.is_unsettled:
        return Explanation(
            where=where,
            waits_for="Redis was restarted or replaced; attempts that were submitted before start up to 15 s later.",
            advice="Wait.",
        )
    place = around.launch
    if place is None:
        return Explanation(
            where=where,
            waits_for="Its launch is not in the launch stream; an agent puts it there again within about a minute.",
            advice="Wait. If it lasts, see the agents' logs.",
        )
    if not place.agent:
        draining = all(agent.state in DRAINS for agent in agents)
        if draining:
            names = ", ".join(agent.name for agent in agents)
            return Explanation(
                where=where,
                waits_for=f"All agents of cluster {attempt.cluster} drain: {names}.{expires}",
                advice="Let one of them launch again: airflow hybrid agent-drain --undo. Or start another: airflow "
                "hybrid agent.",
            )
        ahead = f"{some(place.ahead, 'launch', 'launches')} of cluster {attempt.cluster} come before it. "
        return Explanation(
            where=where,
            waits_for=f"{ahead if place.ahead else ''}An agent takes it when it has room.{_pace(around)}{expires}",
            advice="Wait, or run one more agent: airflow hybrid agent.",
        )
    where += f", with agent {place.agent}"
    holder = next((agent for agent in around.agents if agent.name == place.agent), None)
    if holder is None or not holder.is_alive:
        return Explanation(
            where=where,
            waits_for=f"Agent {place.agent} is silent; another agent takes the launch over after "
            f"{in_words(around.agent_lease_seconds * 1.5)}.",
            advice="Wait.",
        )
    if around.starting_limit and around.starting >= around.starting_limit:
        return Explanation(
            where=where,
            waits_for=f"{some(around.starting, 'pod')} of cluster {attempt.cluster} are starting, and no more than "
            f"{around.starting_limit} may start at the same time now.{expires}",
            advice="Wait: the limit rises by itself when tasks start quickly. [hybrid_executor] starting_pods sets a "
            "fixed one.",
        )
    return Explanation(
        where=where,
        waits_for=f"It waits for its turn: namespaces take turns, and [hybrid_executor] pod_creation_rate limits how "
        f"quickly pods are created.{expires}",
        advice="Wait.",
    )


def explain_pending(attempt: AttemptView, around: Situation) -> Explanation:
    """Return what the pod of a pending attempt waits for."""
    where = f"in pod {attempt.namespace}/{attempt.pod} of cluster {attempt.cluster}, which has not started its task"
    if attempt.node:
        where += f" (node {attempt.node})"
    if not around.agents_of(attempt.cluster):
        return _no_agent(attempt, where)
    watcher = around.watcher_of(attempt.cluster, attempt.namespace)
    blind = "" if watcher else f" No agent watches namespace {attempt.namespace} now, so this may have changed."
    if not attempt.note and attempt.is_handed_over:
        return Explanation(
            where=where.replace("in pod", "in warm pod", 1) if attempt.is_warm else where,
            waits_for=f"An agent hands its workload over to the pod, which {_HOW[attempt.is_warm]}.{blind}",
            advice="Wait. If it lasts, see the log of the agents: they finish it, or launch the attempt again.",
        )
    if not attempt.note:
        slow = attempt.age >= _SLOW_SECONDS
        return Explanation(
            where=where,
            waits_for=f"Its node pulls the image and starts the container.{blind}",
            advice=f"Wait, or see: kubectl -n {attempt.namespace} describe pod {attempt.pod}" if slow else "Wait.",
        )
    since = f" For {in_words(around.now - attempt.noted_at)}." if attempt.noted_at else ""
    until = ""
    if attempt.category == "image_pull" and attempt.noted_at:
        left = around.patience_seconds - (around.now - attempt.noted_at)
        until = f" The agent gives up in about {in_words(left)} ([hybrid_executor] launch_patience)."
    elif attempt.category == "unschedulable":
        until = _taken_back(attempt, around)
    return Explanation(
        where=where,
        waits_for=f"{_sentence(attempt.note)}{since}{until}{blind}",
        advice=cure_for(attempt.category, attempt.note),
    )


def explain_running(attempt: AttemptView, around: Situation) -> Explanation:
    """Return how a running pod stands: whether somebody watches it."""
    node = f" on node {attempt.node}" if attempt.node else ""
    where = f"in pod {attempt.namespace}/{attempt.pod} of cluster {attempt.cluster}{node}"
    if not around.agents_of(attempt.cluster):
        explained = _no_agent(attempt, where)
        return Explanation(
            where=where, waits_for=f"Its end will not be noticed: {explained.waits_for}", advice=explained.advice
        )
    if around.watcher_of(attempt.cluster, attempt.namespace) is None:
        return Explanation(
            where=where,
            waits_for=f"No agent watches namespace {attempt.namespace} now, so its end is noticed later.",
            advice=f"An agent takes over within {in_words(around.agent_lease_seconds)}; else see the agents' logs.",
        )
    if attempt.note:
        return Explanation(where=where, waits_for=_sentence(attempt.note), advice=cure_for(attempt.category))
    return Explanation(where=where)


def _refused(attempt: AttemptView, where: str, around: Situation) -> Explanation:
    """The cluster does not take the pod now; the note says why."""
    refusal = _refusal_of(attempt, around)
    if namespace := refusal.namespace if refusal else attempt.namespace:
        where += f", namespace {namespace}"
    again = f" The agent tries again in {in_words(refusal.seconds)}." if refusal else ""
    note = attempt.note.removesuffix("Tried again every minute or sooner.").rstrip() if again else attempt.note
    return Explanation(
        where=where,
        waits_for=f"{_sentence(note)}{again}{_expires(attempt, around)}",
        advice=cure_for(attempt.category, attempt.note),
    )


def _launching(attempt: AttemptView, around: Situation) -> Explanation:
    where = f"with agent {attempt.holder}, which creates pod {attempt.namespace}/{attempt.pod}"
    if attempt.age < _SLOW_SECONDS:
        return Explanation(where=where, waits_for=f"The API server of cluster {attempt.cluster} creates the pod now.")
    return Explanation(
        where=where,
        waits_for=f"The API server of cluster {attempt.cluster} has not answered for {in_words(attempt.age)}; the "
        f"agent tries again.{_expires(attempt, around)}",
        advice="See whether the cluster's API server answers: kubectl get pods.",
    )


def _no_agent(attempt: AttemptView, where: str) -> Explanation:
    return Explanation(
        where=where,
        waits_for=f"No agent is alive for cluster {attempt.cluster}.",
        advice="Run airflow hybrid agent; with [hybrid_executor] agent = child the scheduler starts one itself, so see "
        "its log.",
    )


def _refusal_of(attempt: AttemptView, around: Situation) -> RefusalView | None:
    """Return what refuses the attempt's pod now: the agent's own words are in the record's note."""
    refusals = [refusal for agent in around.agents_of(attempt.cluster) for refusal in agent.refusals]
    return next((refusal for refusal in refusals if refusal.reason and refusal.reason in attempt.note), None)


def _pace(around: Situation) -> str:
    if around.starting_limit and around.starting >= around.starting_limit:
        return f" {some(around.starting, 'pod')} are starting, which is the limit now."
    return ""


def _expires(attempt: AttemptView, around: Situation) -> str:
    left = attempt.submitted_at + around.token_seconds - around.now
    return f" It fails if it has no pod in {in_words(left)} ([scheduler] task_queued_timeout)." if left > 0 else ""


def _taken_back(attempt: AttemptView, around: Situation) -> str:
    left = attempt.submitted_at + around.token_seconds - around.now
    after = f" in about {in_words(left)}" if left > 0 else " soon"
    return f" Airflow takes the task back{after} and queues it again ([scheduler] task_queued_timeout)."


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
