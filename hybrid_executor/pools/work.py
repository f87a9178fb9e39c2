"""Work for a pool: one attempt on its way from the scheduler to where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hybrid_executor.config import DEFAULT_PROFILE, Profile
from hybrid_executor.events import AttemptId, Kind, OwnerId
from hybrid_executor.store import Placement

SENT_FIELD = "sent"
"""Field of a record: its message was sent to a broker that is not the store's Redis."""


@dataclass(kw_only=True, slots=True)  # one is made for each workload: frozen ones take twice as long to make
class Work:
    """One workload, routed. Nobody changes it.

    :ivar workload_id: the id of the task instance, callback or connection test in Airflow's database.
    :ivar payload: the workload as JSON, which what runs it gets. It holds a token and is never shown.
    :ivar executor_config: the task's, as the Dag author wrote it.
    :ivar fields: what the record says of the workload (dag_id, task_id, ...).
    :ivar expected_generation: 0 for a new attempt; its record's generation where it is submitted again.
    :ivar pool: that of its target.
    :ivar pods_left: how many pods it may have on its target before it goes on to the next; ``None`` for any number.
    """

    attempt: AttemptId
    owner: OwnerId
    kind: Kind
    workload_id: str
    queue: str
    payload: str = field(repr=False)
    executor_config: object = field(default=None, repr=False)
    profile: Profile = DEFAULT_PROFILE
    fields: Mapping[str, str | int] = field(default_factory=dict)
    expected_generation: int = 0
    pool: str = ""
    placement: Placement = Placement()
    pods_left: int | None = None

    @property
    def generation(self) -> int:
        """The generation that the record has once this is submitted."""
        return self.expected_generation + 1

    def record_fields(self) -> dict[str, str | int]:
        """Return the fields of the record that describe the workload."""
        return {
            **self.fields,
            "kind": self.kind,
            "key": self.workload_id,
            "queue": self.queue,
            "profile": self.profile.name,
            **({} if self.pods_left is None else {"pods_left": self.pods_left}),
        }
