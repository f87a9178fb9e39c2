"""What one scheduler still has to do. The parts of an executor tell each other what to do only here."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum

from hybrid_executor.events import AttemptId
from hybrid_executor.pools.work import Work


class Repair(Enum):
    """The timed repairs, in the order in which they are done. A value completes the sentence "Could not ..."."""

    END_REVIVED = "end attempts that are live again"
    COMPARE_ALL = "compare attempts with their records"
    COMPARE_SOME = "read some records again"
    FIND_LOST_WORKERS = "look for lost workers"
    DECIDE_LOST = "decide about lost attempts"
    FIND_UNSENT = "look for unsent messages"
    TAKE_BACK_UNAWAITED = "take back what Airflow does not wait for any more"
    TAKE_OVER_ORPHANS = "take over what dead schedulers have left"
    FOLLOW_CALLBACKS = "follow the callbacks of dead schedulers"
    SWEEP = "clean the sets of live attempts"
    DROP_LEFT = "remove messages of attempts that have gone on"
    FIND_UNSERVED = "look for queues that nobody serves"


ALL_REPAIRS = frozenset(Repair)


@dataclass(kw_only=True)
class Pending:
    """Sets of work that is not done yet. An entry is removed only when its work is done.

    :ivar made_ids: attempt ids made for workloads that have none from Airflow and are not recorded yet, by Airflow's
        key. A repeated submission finds its id here.
    :ivar unsent: recorded work whose message the pool's own broker has not accepted yet.
    :ivar refused: attempts whose message that broker will never accept, with the reason. They are to be failed.
    :ivar to_revoke: attempts that Airflow has ended or taken back. They must not start.
    :ivar revoked: attempts that were revoked lately, and when, the oldest first.
    :ivar to_adopt: attempts of dead schedulers that could not be looked up yet, by workload id.
    :ivar to_read: attempts whose record is to be read, because an event may have been missed.
    :ivar to_decide: attempts that were reported lost. They are to be submitted again or failed.
    :ivar to_renew: attempts whose workload has expired while their pod waited for it.
    :ivar left_queues: queues in which messages were left behind by attempts that have gone on to another target.
    :ivar repairs: the timed repairs that are due.
    """

    made_ids: dict[Hashable, AttemptId] = field(default_factory=dict)
    unsent: dict[AttemptId, Work] = field(default_factory=dict)
    refused: dict[AttemptId, str] = field(default_factory=dict)
    to_revoke: set[AttemptId] = field(default_factory=set)
    revoked: dict[AttemptId, float] = field(default_factory=dict)
    to_adopt: dict[str, AttemptId] = field(default_factory=dict)
    to_read: set[AttemptId] = field(default_factory=set)
    to_decide: set[AttemptId] = field(default_factory=set)
    to_renew: set[AttemptId] = field(default_factory=set)
    left_queues: set[str] = field(default_factory=set)
    repairs: set[Repair] = field(default_factory=set)
