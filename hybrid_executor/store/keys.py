"""Every Redis key of the contract, in one place.

All keys of an instance share one hash tag, so they live on one cluster node and scripts may touch several of them.
"""

from __future__ import annotations

import re

from hybrid_executor.errors import ConfigError

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

    def attempt(self, attempt: str) -> str:
        """Hash: the attempt's record, what people inspect. No secrets."""
        return f"{self.prefix}attempt:{attempt}"

    def payload(self, attempt: str) -> str:
        """String: the workload JSON (holds a token). Gone once the attempt starts."""
        return f"{self.prefix}payload:{attempt}"

    def overrides(self, attempt: str) -> str:
        """String: the attempt's executor_config as JSON (may hold secrets). Gone once the attempt starts."""
        return f"{self.prefix}overrides:{attempt}"

    def owner(self, owner: str) -> str:
        """Set: live attempts of one scheduler job."""
        return f"{self.prefix}owner:{owner}"

    def live(self, pool: str) -> str:
        """Set: live attempts of one pool."""
        return f"{self.prefix}live:{pool}"

    @property
    def events(self) -> str:
        """Stream: one entry per state change."""
        return f"{self.prefix}events"

    @property
    def trimmed(self) -> str:
        """String: entries of the events stream before this id are gone."""
        return f"{self.prefix}trimmed"

    def launch(self, cluster: str) -> str:
        """Stream: pods to create and to delete in one cluster."""
        return f"{self.prefix}launch:{cluster}"

    def lease(self, name: str) -> str:
        """Hash: who holds a lease, until when, and its fencing number."""
        return f"{self.prefix}lease:{name}"

    def rate(self, cluster: str) -> str:
        """Hash: token bucket of pod creation in one cluster."""
        return f"{self.prefix}rate:{cluster}"

    def starting(self, cluster: str) -> str:
        """Sorted set: pods of one cluster that are on their way to their task's start."""
        return f"{self.prefix}starting:{cluster}"

    def pace(self, cluster: str) -> str:
        """Hash: how many pods of one cluster may be on their way at once."""
        return f"{self.prefix}pace:{cluster}"

    def version(self, cluster: str, namespace: str) -> str:
        """String: the watch's resource version."""
        return f"{self.prefix}version:{cluster}:{namespace}"

    def member(self, role: str, name: str) -> str:
        """Hash: one worker or agent that is alive, and what it does."""
        return f"{self.prefix}{role}:{name}"

    def members(self, role: str) -> str:
        """Sorted set: workers or agents by the time they were last heard of."""
        return f"{self.prefix}{role}s"

    def orders(self, life: str) -> str:
        """List: what one worker, from its start to its end, is told to do."""
        return f"{self.prefix}orders:{life}"

    @property
    def identities(self) -> str:
        """Set: ids of this Redis, which its pods carry. Expires where no agent runs any more."""
        return f"{self.prefix}identities"

    @property
    def probe(self) -> str:
        """String: written to see whether Redis takes writes. Gone a second later."""
        return f"{self.prefix}probe"

    @property
    def trial(self) -> str:
        """String: commands are tried on it, to find out which are permitted. Gone a second later."""
        return f"{self.prefix}trial"

    def examples(self) -> list[str]:
        """Return a key of each kind, to find out which are permitted."""
        named = (
            *(self.attempt, self.payload, self.overrides, self.owner, self.live),
            *(self.launch, self.lease, self.rate, self.starting, self.pace),
        )
        members = [name for role in ("worker", "agent") for name in (self.member(role, "-"), self.members(role))]
        return [
            *(key("-") for key in named),
            *members,
            self.version("-", "-"),
            self.orders("-"),
            self.events,
            self.trimmed,
            self.epoch,
            self.identities,
            self.home,
            self.unsettled,
        ]

    @property
    def home(self) -> str:
        """String: the replication id of the server that the epoch began on."""
        return f"{self.prefix}home"

    @property
    def unsettled(self) -> str:
        """String, expiring: what was submitted before this time is not to start yet."""
        return f"{self.prefix}unsettled"

    @property
    def epoch(self) -> str:
        """String: made once; gone or different means that Redis lost data, or may have lost some."""
        return f"{self.prefix}epoch"
