"""Examines who has announced itself in Redis, and whether each queue and cluster is served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import hybrid_executor.doctor.workers_checks as judge
from hybrid_executor.config import ConfigSource, Settings
from hybrid_executor.config.identity import installed, read_identity
from hybrid_executor.doctor.findings import Finding, failure, ok
from hybrid_executor.doctor.rounds import Check, Subject
from hybrid_executor.doctor.routed import celery_queues
from hybrid_executor.doctor.workers_checks import Crew
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.insight.facts import Facts, read_facts
from hybrid_executor.insight.problems import Problem, problems_of_members
from hybrid_executor.store import Store


@dataclass
class WorkersSubject:
    """The members of one instance, and the work that waits for them."""

    conf: ConfigSource
    settings: Settings
    store: Store
    _crew: Crew = field(default_factory=Crew)
    _facts: Facts = field(default_factory=lambda: Facts(now=0))
    _problems: list[Problem] = field(default_factory=list)

    def subject(self) -> Subject:
        """Return what to examine."""
        return Subject(
            part="workers",
            name=f"instance {self.settings.instance}",
            checks=[
                Check(name="announcements", run=self._read, is_gate=True),
                Check(name="schedulers", run=lambda: [judge.judge_schedulers(self._crew)]),
                Check(name="problems", run=lambda: judge.judge_problems(self._problems)),
                Check(name="workers", run=lambda: judge.judge_workers(self._facts.workers)),
                Check(name="queues", run=self._queues),
                Check(name="agents", run=self._agents),
                Check(name="versions", run=self._versions),
                Check(name="one deployment", run=self._deployments),
            ],
            close=self.store.close,
        )

    def _read(self) -> Iterator[Finding]:
        try:
            self._crew = read_crew(self.store)
            self._facts = read_facts(self.store, self.settings)
        except StoreUnavailable as error:
            yield failure("announcements", str(error).rstrip("."), "see the findings about Redis")
            return
        self._problems = problems_of_members(self._facts, self.settings)
        yield ok("announcements", f"{len(self._crew.living)} components are alive")

    def _queues(self) -> Iterable[Finding]:
        queues = celery_queues(self.conf, self.settings)
        return judge.judge_queues(queues, self._problems, self._facts.workers)

    def _agents(self) -> Iterable[Finding]:
        return judge.judge_agents(list(self.settings.clusters), self._facts.agents)

    def _versions(self) -> Iterable[Finding]:
        own = read_identity(self.conf, instance=self.settings.instance)
        return judge.judge_versions(self._crew, {**own, "celery": installed("celery")})

    def _deployments(self) -> Iterable[Finding]:
        own = read_identity(self.conf, instance=self.settings.instance)
        return judge.judge_deployments(self._crew, own.get("database", ""), self.settings.instance)


def read_crew(store: Store) -> Crew:
    """Return everybody who has announced itself.

    :raises StoreUnavailable: Redis could not be asked.
    """
    presence = store.presence
    return Crew(
        schedulers=presence.members("scheduler"), workers=presence.members("worker"), agents=presence.members("agent")
    )
