"""What the tabs show: the story of a task instance, and the attempts of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybrid_executor.compat import own_session
from hybrid_executor.config import Settings
from hybrid_executor.errors import ConfigError
from hybrid_executor.insight.attempts import AttemptFilter, AttemptView, read_attempts
from hybrid_executor.insight.story import Story, read_story
from hybrid_executor.plugin.page import access
from hybrid_executor.plugin.page.addresses import EXECUTOR_PAGE
from hybrid_executor.plugin.page.deployment import Place
from hybrid_executor.store import Store

MOST_ATTEMPTS = 200
_ENDED = ("succeeded", "failed", "revoked")
_ORDER = ("unknown", "lost", "submitted", "launching", "pending", "failed", "revoked", "running", "succeeded")


@dataclass(frozen=True, kw_only=True)
class TaskName:
    """A task instance as an address names it.

    :ivar map_index: ``None`` for a mapped task as a whole.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None

    @property
    def words(self) -> str:
        """The task as people write it."""
        mapped = f"[{self.map_index}]" if self.map_index is not None and self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{mapped}"


def parse_map_index(text: str) -> int | None:
    """Return the map index in an address; the UI leaves the placeholder where there is none."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def tell_task(places: Sequence[Place], name: TaskName) -> Story:
    """Read the story of a task instance. Where Redis cannot be asked, the story says so.

    :param places: where its attempts may be; the first that has some tells the story.
    :raises ConfigError: there is none.
    """
    stories = (_read_story(settings, store, name) for settings, store in _some(places))
    first = next(stories)
    return first if first.chapters else next((story for story in stories if story.chapters), first)


def _read_story(settings: Settings, store: Store, name: TaskName) -> Story:
    with own_session() as session:
        return read_story(
            store,
            session,
            settings,
            dag_id=name.dag_id,
            task_id=name.task_id,
            run_id=name.run_id,
            map_index=name.map_index,
        )


def _some(places: Sequence[Place]) -> Sequence[Place]:
    if not places:
        raise ConfigError("[core] executor names no executor of this project for this Dag's team, nor for all teams.")
    return places


def fit_story(story: Story, user: access.User) -> Mapping[str, Any]:
    """Return what a user sees of a story whose task instance the user may read."""
    return {
        "story": story,
        "may_revoke": access.may_revoke(user, story.dag_id),
        "ended": _ENDED,
        "executor_page": EXECUTOR_PAGE,
    }


def read_run(places: Sequence[Place], dag_id: str, run_id: str) -> Sequence[AttemptView]:
    """Read the attempts of a run: those that need attention first.

    :raises ConfigError: there is no place to look for them.
    :raises StoreUnavailable: Redis cannot be asked.
    """
    wanted = AttemptFilter(dag=dag_id, run=run_id, ended=True)
    found = [view for _, store in _some(places) for view in read_attempts(store, wanted, limit=10 * MOST_ATTEMPTS)]
    return sorted(found, key=lambda attempt: _ORDER.index(attempt.state) if attempt.state in _ORDER else 0)


def fit_run(attempts: Sequence[AttemptView]) -> Mapping[str, Any]:
    """Return what is seen of a run by whoever may read the task instances of its Dag."""
    counts: dict[str, int] = {}
    for attempt in attempts:
        counts[attempt.state] = counts.get(attempt.state, 0) + 1
    return {
        "attempts": attempts[:MOST_ATTEMPTS],
        "more_attempts": max(0, len(attempts) - MOST_ATTEMPTS),
        "counts": counts,
        "executor_page": EXECUTOR_PAGE,
    }
