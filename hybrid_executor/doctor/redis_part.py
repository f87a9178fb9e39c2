"""Examines Redis twice: as the store's client reaches it, and as Celery's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import hybrid_executor.doctor.redis_checks as judge
from hybrid_executor.config import ConfigSource, Settings
from hybrid_executor.config.celery import CelerySettings
from hybrid_executor.doctor.findings import Finding, failure, ok
from hybrid_executor.doctor.rounds import Check, Subject
from hybrid_executor.doctor.routed import celery_queues
from hybrid_executor.errors import ConfigError, StoreUnavailable
from hybrid_executor.pools.celery_examination import BrokerExamination
from hybrid_executor.store import Store
from hybrid_executor.store import examination as ask
from hybrid_executor.store.examination import RedisFacts
from hybrid_executor.store.topology import URL_OPTIONS

_OPEN = "start it, or restart it if it hangs; open the way to it (firewall, network policy, DNS)"
_START = f"{_OPEN}; or correct [hybrid_executor] redis_url (where that is not set: [celery] broker_url)"
_START_BROKER = f"{_OPEN}; or correct [celery] broker_url"
_SCRIPTS = "grant +evalsha and +script|load, and keep no proxy between that refuses or forgets scripts"
_WRITES = "docs/redis.md, 'When Redis refuses commands', says what to do for each message"


@dataclass
class Server:
    """One Redis that has answered, and its client.

    :ivar client: returns a client of redis-py's.
    """

    client: Callable[[], Any]
    _facts: RedisFacts | None = None

    def read(self) -> RedisFacts:
        """Ask for the facts, and keep them for the other checks.

        :raises StoreUnavailable: it cannot be reached.
        """
        self._facts = ask.read_facts(self.client())
        return self._facts

    @property
    def facts(self) -> RedisFacts:
        """What was read; read now where that has not been done."""
        return self._facts or self.read()

    def checks(self) -> list[Check]:
        """Return the checks of any server; where it is a cluster, the others make no sense."""
        judges = (
            ("role", judge.judge_role),
            ("eviction policy", judge.judge_eviction),
            ("persistence", judge.judge_persistence),
            ("memory", judge.judge_memory),
            ("connections", judge.judge_clients),
            ("loss of data", judge.judge_replication_id),
        )

        def of(decide: Callable[[RedisFacts], Finding]) -> Callable[[], list[Finding]]:
            return lambda: [decide(self.facts)]

        return [
            Check(name="cluster mode", run=self._mode, is_gate=True),
            *(Check(name=name, run=of(decide)) for name, decide in judges),
            Check(name="latency", run=self._pace),
        ]

    def _mode(self) -> Iterable[Finding]:
        return [judge.judge_cluster(ask.is_cluster(self.client()))]

    def _pace(self) -> Iterable[Finding]:
        pace = ask.measure(self.client())
        return [judge.judge_latency(pace), judge.judge_clock(pace)]


@dataclass
class StoreSubject:
    """The store's Redis."""

    conf: ConfigSource
    settings: Settings
    store: Store
    server: Server = field(init=False)

    def __post_init__(self) -> None:
        self.server = Server(lambda: self.store.client)

    def subject(self) -> Subject:
        """Return what to examine; nothing is connected yet."""
        return Subject(
            part="redis",
            name="as the store reaches it",
            checks=[
                Check(name="reachable", run=self._reach, is_gate=True),
                *self.server.checks(),
                Check(name="permissions", run=self._permissions),
                Check(name="scripts", run=self._scripts),
                Check(name="writes", run=self._writes),
            ],
            close=self.store.close,
        )

    def _reach(self) -> Iterator[Finding]:
        client = self.store.client
        try:
            ask.check_answer(client, name=URL_OPTIONS)
            yield judge.judge_address(self.server.read())
        except (ConfigError, StoreUnavailable) as error:
            yield failure("reachable", f"{ask.address_of(client)}: {_sentence(error)}", _cure_of(error, _START))

    def _permissions(self) -> Iterator[Finding]:
        queues = celery_queues(self.conf, self.settings) if self.settings.broker_is_store else []
        missing = self.store.missing_permissions([f"{self.settings.broker.key_prefix}{queue}" for queue in queues])
        if missing:
            yield failure("permissions", judge.words_of(missing), judge.grant(missing))
            return
        lists = f" and the lists of {', '.join(queues)}" if queues else ""
        yield ok("permissions", f"each command and key that the store uses, tried on {self.store.keys.prefix}*{lists}")

    def _scripts(self) -> Iterator[Finding]:
        try:
            runs = ask.run_a_script(self.store.client, self.store.keys.trial)
        except StoreUnavailable as error:
            yield failure("scripts", _sentence(error), _SCRIPTS)
            return
        if runs:
            yield ok("scripts", "they are loaded and run")
        else:
            yield failure("scripts", "a script was run and returned something else than it says", _SCRIPTS)

    def _writes(self) -> Iterator[Finding]:
        try:
            self.store.check_writes()
        except StoreUnavailable as error:
            yield failure("writes", f"{_sentence(error)}: no task starts, and workers keep their results", _WRITES)
            return
        yield ok("writes", "accepted")


@dataclass
class BrokerSubject:
    """The broker, through kombu's own client; examined as a server of its own where it is not the store's Redis.

    :param store_server: the store's Redis, to compare with.
    :param are_workers_alive: whether a worker has announced itself, and so may use another user than this process.
    """

    conf: ConfigSource
    settings: Settings
    celery: CelerySettings
    store_server: Server
    are_workers_alive: Callable[[], bool]
    _examination: BrokerExamination = field(init=False)
    _server: Server = field(init=False)

    def __post_init__(self) -> None:
        self._examination = BrokerExamination(self.celery)
        self._server = Server(lambda: self._examination.redis_client)

    def subject(self) -> Subject:
        """Return what to examine; nothing is connected yet."""
        checks = [Check(name="reachable", run=self._reach, is_gate=True)]
        if self.settings.broker.is_redis:
            checks += [
                Check(name="broker and store", run=self._compare),
                *([] if self.settings.broker_is_store else self._server.checks()),
                Check(name="permissions", run=self._permissions),
            ]
        return Subject(part="redis", name="as Celery's client reaches it", checks=checks, close=self._examination.close)

    def _reach(self) -> Iterator[Finding]:
        examination = self._examination
        try:
            examination.connect()
            if not self.settings.broker.is_redis:
                yield ok("reachable", examination.address)
                return
            found = judge.judge_address(self._server.read())
        except (ConfigError, StoreUnavailable) as error:
            cure = _START if self.settings.broker_is_store else _START_BROKER
            yield failure("reachable", f"{examination.address}: {_sentence(error)}", _cure_of(error, cure))
            return
        prefix = examination.key_prefix
        yield replace(found, what=f"{found.what}; keys begin with {prefix}") if prefix else found

    def _compare(self) -> Iterable[Finding]:
        is_meant = self.settings.broker_is_store
        return [judge.judge_same_place(self.store_server.facts, self._server.facts, is_meant=is_meant)]

    def _permissions(self) -> Iterable[Finding]:
        queues = celery_queues(self.conf, self.settings)
        missing = self._examination.missing_permissions(queues)
        return [judge.judge_broker_permissions(missing, queues, are_workers_alive=self.are_workers_alive())]


def _sentence(error: Exception) -> str:
    return str(error).rstrip(".")


def _cure_of(error: Exception, cure: str) -> str:
    """Return the cure, "" for an error that says itself what to write."""
    return "" if isinstance(error, ConfigError) else cure
