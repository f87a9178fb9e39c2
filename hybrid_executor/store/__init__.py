"""The only code that talks to Redis: the contract where executor, agents and workers meet.

Belongs here: connections, key names, Lua scripts, and typed access to records, streams, leases and presence.
Does not belong here: decisions. Which change to make is decided by callers; that it happens at most once, in one
step, is promised here. Every method either does its work or raises :class:`~hybrid_executor.errors.StoreUnavailable`;
"could not ask" is never returned as an empty answer.
"""

from __future__ import annotations

from hybrid_executor.store.attempts import Attempts
from hybrid_executor.store.census import Census, LiveAttempt
from hybrid_executor.store.changes import FULL, Change, Claim, LaunchAck, Outcome, Placement, Restoration, Submission
from hybrid_executor.store.client import RedisSettings, Store, check_server, open_configured_store, open_store
from hybrid_executor.store.epochs import Epoch
from hybrid_executor.store.erasing import Erasing, Erasure
from hybrid_executor.store.hand_overs import HandOvers, Renewal, Waiter
from hybrid_executor.store.hints import Hints
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.leases import Lease, Leases, Rates
from hybrid_executor.store.orders import Order, Orders
from hybrid_executor.store.permissions import Missing, Needs, broker_needs, check_broker_permissions
from hybrid_executor.store.places import Places
from hybrid_executor.store.presence import Member, Presence
from hybrid_executor.store.records import Record
from hybrid_executor.store.redis_identity import RedisIdentity
from hybrid_executor.store.refusals import explain, refusal_of
from hybrid_executor.store.resource_version import ResourceVersion
from hybrid_executor.store.starts import Starts
from hybrid_executor.store.streams import EventBatch, EventStream, LaunchEntry, LaunchStream, Woken
from hybrid_executor.store.view import LaunchPlace, StoreView
from hybrid_executor.store.warm import BUCKET_SECONDS, Decision, Given, Taken, WarmPodStore, Wish
from hybrid_executor.store.wrong_types import WrongType, is_wrong_type, words_for

__all__ = [
    "BUCKET_SECONDS",
    "FULL",
    "Attempts",
    "Census",
    "Change",
    "Claim",
    "Decision",
    "Epoch",
    "Erasing",
    "Erasure",
    "EventBatch",
    "EventStream",
    "Given",
    "HandOvers",
    "Hints",
    "Keys",
    "LaunchAck",
    "LaunchEntry",
    "LaunchPlace",
    "LaunchStream",
    "Lease",
    "Leases",
    "LiveAttempt",
    "Member",
    "Missing",
    "Needs",
    "Order",
    "Orders",
    "Outcome",
    "Placement",
    "Places",
    "Presence",
    "Rates",
    "Record",
    "RedisIdentity",
    "RedisSettings",
    "Renewal",
    "ResourceVersion",
    "Restoration",
    "Starts",
    "Store",
    "StoreView",
    "Submission",
    "Taken",
    "Waiter",
    "WarmPodStore",
    "Wish",
    "Woken",
    "WrongType",
    "broker_needs",
    "check_broker_permissions",
    "check_server",
    "explain",
    "is_wrong_type",
    "open_configured_store",
    "open_store",
    "refusal_of",
    "words_for",
]
