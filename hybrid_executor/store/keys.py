"""Every Redis key of the contract, in one place.

All keys of an instance share one hash tag, so they live on one cluster node and scripts may touch several of them.
"""

from __future__ import annotations

import re
from typing import NewType

from hybrid_executor.errors import ConfigError
from hybrid_executor.events import SCHEMA

Key = NewType("Key", str)
"""The name of a Redis key. Those of the contract are made here and nowhere else."""

LAUNCH_GROUP = "launchers"
"""The consumer group of each launch stream."""

ATTEMPT, OWNER, LIVE, PLACE, LAUNCH = "attempt:", "owner:", "live:", "place:", "launch:"
"""The kinds of the keys that scripts have to name after what they read: a record's owner, pool, place and cluster, and
the attempts in a set. Such a script gets the instance's prefix, and knows these names under the same names in Lua."""

LUA_CONSTANTS = {
    "ATTEMPT": ATTEMPT,
    "OWNER": OWNER,
    "LIVE": LIVE,
    "PLACE": PLACE,
    "LAUNCH": LAUNCH,
    "LAUNCH_GROUP": LAUNCH_GROUP,
    "SCHEMA": str(SCHEMA),
}

_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


class Keys:
    """Names of the keys of one instance.

    :raises ConfigError: the instance name is not a valid label value (it becomes part of keys and of pod labels).
    """

    def __init__(self, instance: str) -> None:
        if not _INSTANCE.match(instance):
            raise ConfigError(
                f"[hybrid_executor] instance = {instance!r} is not valid: write up to 63 letters, digits, '-', '_' or "
                "'.', beginning with a letter or digit."
            )
        self.instance = instance
        self.prefix = f"{{hybrid:{instance}}}:"

    def attempt(self, attempt: str) -> Key:
        """Hash: the attempt's record, what people inspect. No secrets."""
        return Key(self.prefix + ATTEMPT + attempt)

    def payload(self, attempt: str) -> Key:
        """String: the workload JSON (holds a token). Gone once the attempt starts."""
        return Key(f"{self.prefix}payload:{attempt}")

    def overrides(self, attempt: str) -> Key:
        """String: the attempt's executor_config as JSON (may hold secrets). Gone once the attempt starts."""
        return Key(f"{self.prefix}overrides:{attempt}")

    def owner(self, owner: str) -> Key:
        """Set: live attempts of one scheduler job."""
        return Key(self.prefix + OWNER + owner)

    def live(self, pool: str) -> Key:
        """Set: live attempts of one pool."""
        return Key(self.prefix + LIVE + pool)

    def place(self, place: str) -> Key:
        """Sorted set: live attempts of one route on one of its targets, by the time in ms when they came there."""
        return Key(self.prefix + PLACE + place)

    @property
    def events(self) -> Key:
        """Stream: one entry per state change."""
        return Key(f"{self.prefix}events")

    @property
    def trimmed(self) -> Key:
        """String: entries of the events stream before this id are gone."""
        return Key(f"{self.prefix}trimmed")

    def launch(self, cluster: str) -> Key:
        """Stream: pods to create and to delete in one cluster."""
        return Key(self.prefix + LAUNCH + cluster)

    def lease(self, name: str) -> Key:
        """Hash: who holds a lease, until when, and its fencing number."""
        return Key(f"{self.prefix}lease:{name}")

    def rate(self, cluster: str) -> Key:
        """Hash: token bucket of pod creation in one cluster."""
        return Key(f"{self.prefix}rate:{cluster}")

    def starting(self, cluster: str) -> Key:
        """Sorted set: pods of one cluster that are on their way to their task's start."""
        return Key(f"{self.prefix}starting:{cluster}")

    def pace(self, cluster: str) -> Key:
        """Hash: how many pods of one cluster may be on their way at once."""
        return Key(f"{self.prefix}pace:{cluster}")

    def warm_ready(self, cluster: str, kind: str) -> Key:
        """Sorted set: pods of one kind that wait for an attempt, by the time when they were first offered."""
        return Key(f"{self.prefix}warm-ready:{cluster}:{kind}")

    def warm_taken(self, cluster: str, kind: str) -> Key:
        """Hash: pods of one kind that were given to an attempt a moment ago."""
        return Key(f"{self.prefix}warm-taken:{cluster}:{kind}")

    def warm_starting(self, cluster: str, kind: str) -> Key:
        """String, expiring: how many pods of one kind start, and will wait for an attempt."""
        return Key(f"{self.prefix}warm-starting:{cluster}:{kind}")

    def warm_waiters(self, cluster: str, kind: str) -> Key:
        """Sorted set: attempts that wait until such a pod is ready, by the time since when they wait."""
        return Key(f"{self.prefix}warm-waiters:{cluster}:{kind}")

    def warm_demand(self, cluster: str, profile: str) -> Key:
        """Hash: how many attempts of a profile asked for a waiting pod, by time."""
        return Key(f"{self.prefix}warm-demand:{cluster}:{profile}")

    def warm_shortage(self, cluster: str, namespace: str) -> Key:
        """String, expiring: attempts of a namespace wait for a quota or a node."""
        return Key(f"{self.prefix}warm-shortage:{cluster}:{namespace}")

    def version(self, cluster: str, namespace: str) -> Key:
        """String: the watch's resource version."""
        return Key(f"{self.prefix}version:{cluster}:{namespace}")

    def member(self, role: str, name: str) -> Key:
        """Hash: one worker, agent or scheduler that is alive, and what it does."""
        return Key(f"{self.prefix}{role}:{name}")

    def members(self, role: str) -> Key:
        """Sorted set: workers, agents or schedulers by the time they were last heard of."""
        return Key(f"{self.prefix}{role}s")

    def orders(self, life: str) -> Key:
        """List: what one process, from its start to its end, is told to do."""
        return Key(f"{self.prefix}orders:{life}")

    @property
    def identities(self) -> Key:
        """Set: ids of this Redis, which its pods carry. Expires where no agent runs any more."""
        return Key(f"{self.prefix}identities")

    @property
    def probe(self) -> Key:
        """String: written to see whether Redis takes writes. Gone a second later."""
        return Key(f"{self.prefix}probe")

    @property
    def trial(self) -> Key:
        """String: commands are tried on it, to find out which are permitted. Gone a second later."""
        return Key(f"{self.prefix}trial")

    def examples(self) -> list[Key]:
        """Return a key of each kind, to find out which are permitted."""
        named = (
            *(self.attempt, self.payload, self.overrides, self.owner, self.live, self.place),
            *(self.launch, self.lease, self.rate, self.starting, self.pace),
        )
        members = [
            name for role in ("worker", "agent", "scheduler") for name in (self.member(role, "-"), self.members(role))
        ]
        return [
            *(key("-") for key in named),
            *members,
            self.version("-", "-"),
            *(key("-", "-") for key in (self.warm_ready, self.warm_taken, self.warm_starting, self.warm_waiters)),
            *(key("-", "-") for key in (self.warm_demand, self.warm_shortage)),
            self.orders("-"),
            self.events,
            self.trimmed,
            self.epoch,
            self.identities,
            self.home,
            self.unsettled,
        ]

    @property
    def home(self) -> Key:
        """String: the replication id of the server that the epoch began on."""
        return Key(f"{self.prefix}home")

    @property
    def unsettled(self) -> Key:
        """String, expiring: what was submitted before this time is not to start yet."""
        return Key(f"{self.prefix}unsettled")

    @property
    def epoch(self) -> Key:
        """String: made once; gone or different means that Redis lost data, or may have lost some."""
        return Key(f"{self.prefix}epoch")
