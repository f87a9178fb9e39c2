"""What is said of one attempt, by its state. Pure."""

from __future__ import annotations

from dataclasses import replace

from hybrid_executor.insight import in_pods, on_workers
from hybrid_executor.insight.attempts import AttemptView
from hybrid_executor.insight.cures import cure_for
from hybrid_executor.insight.situation import Explanation, Situation

_NOT_STARTED = ("submitted", "launching", "pending")


def explain(attempt: AttemptView, around: Situation) -> Explanation:
    """Return where an attempt is, what it waits for now, and what to do about it."""
    if attempt.trouble:
        return Explanation(where="unknown", waits_for=attempt.trouble, advice="Delete the key and clear the task.")
    if around.unawaited and attempt.state in _NOT_STARTED:
        explained = _unawaited(attempt, around)
    else:
        explained = _leaving(attempt) if attempt.leaving else _with_onward(_explain(attempt, around), around)
    if around.redis and attempt.state not in ("succeeded", "failed", "revoked"):
        return Explanation(
            where=explained.where,
            waits_for=f"{around.redis}, so nothing starts or ends now. {explained.waits_for}".rstrip(),
            advice="Let Redis accept writes again; see airflow hybrid status.",
        )
    return explained


def _unawaited(attempt: AttemptView, around: Situation) -> Explanation:
    """Airflow has skipped, marked or cleared its task, and tells no executor of that."""
    takes = "The scheduler takes it back within about a minute" + (" and its pod is deleted" if attempt.pod else "")
    if around.is_owner_alive is False:
        takes = "Its scheduler is not alive; another one takes it back"
    return Explanation(
        where=f"in pod {attempt.namespace}/{attempt.pod}" if attempt.pod else _explain(attempt, around).where,
        waits_for=f"Nothing: Airflow does not wait for it any more, its task instance is {around.unawaited}. {takes}.",
        advice="Wait.",
    )


def _leaving(attempt: AttemptView) -> Explanation:
    return Explanation(
        where=f"on target {attempt.target}, which it leaves",
        waits_for="Its pod is being deleted. When it is gone, the attempt goes on to the next target of its route.",
        advice="Wait.",
    )


def _with_onward(explained: Explanation, around: Situation) -> Explanation:
    if not around.onward:
        return explained
    return replace(explained, waits_for=f"{explained.waits_for} {around.onward}".lstrip())


def _explain(attempt: AttemptView, around: Situation) -> Explanation:
    is_pod = attempt.pool == "kubernetes"
    if attempt.state in ("submitted", "launching"):
        return in_pods.explain_waiting(attempt, around) if is_pod else on_workers.explain_waiting(attempt, around)
    if attempt.state == "pending":
        return in_pods.explain_pending(attempt, around)
    if attempt.state == "running":
        return in_pods.explain_running(attempt, around) if is_pod else on_workers.explain_running(attempt, around)
    if attempt.state == "lost":
        return _lost(attempt, around)
    if attempt.state == "unknown":
        return Explanation(
            where="in a state that this release does not know",
            advice="Run the same release of airflow-hybrid-executor everywhere.",
        )
    return _ended(attempt)


def _lost(attempt: AttemptView, around: Situation) -> Explanation:
    where = f"lost with {attempt.holder}" if attempt.holder else "lost"
    if around.is_owner_alive is False:
        return Explanation(
            where=where,
            waits_for="The scheduler that decides what follows is not alive.",
            advice="Start a scheduler; it adopts the task and decides.",
        )
    return Explanation(
        where=where,
        waits_for="Its scheduler decides within about 10 s: run it again if its task never started, else fail it.",
        advice="Wait.",
    )


def _ended(attempt: AttemptView) -> Explanation:
    place = f"in pod {attempt.namespace}/{attempt.pod}" if attempt.pool == "kubernetes" and attempt.pod else ""
    place = place or (f"on worker {attempt.holder}" if attempt.holder and attempt.pool == "celery" else "")
    where = "ended before it started" if attempt.category == "unawaited" else f"ended {place}".strip()
    if attempt.state == "succeeded":
        return Explanation(where=where)
    return Explanation(where=where, advice=cure_for(attempt.category, attempt.reason))
