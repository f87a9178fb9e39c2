"""Teams that share Redis, cluster and namespace: no agent takes, replaces or deletes another team's warm pods."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from hybrid_executor.agent.launch.entries import Claimed, Launch, TakenBack
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.warm.launches import WarmLaunches
from hybrid_executor.complaints import Complaints
from hybrid_executor.config import DictConfig, Settings, read_settings
from hybrid_executor.config.teams import read_instance
from hybrid_executor.events import STREAM_START, AttemptId, OwnerId
from hybrid_executor.kube.warm_pod import WAITING, warm_selector
from hybrid_executor.states import State
from hybrid_executor.store import LaunchEntry, RedisSettings, Store, Submission, open_store
from tests.integration.agent.conftest import World
from tests.integration.agent.warm_world import WarmWorld, relist_often
from tests.waiting import wait_until


class Team:
    """One team: its own instance, and the same profile and template as the other one."""

    def __init__(self, world: World, name: str, *, idle: int, **options: str) -> None:
        self.name = name
        self.world = world
        self._profiles = world.directory / f"profiles-{name}.yaml"
        self.describe(idle=idle)
        self._options = options
        self.instance = read_instance(DictConfig(team=name))
        self.store: Store = open_store(RedisSettings(url=world.redis_url), instance=self.instance)

    def describe(self, *, idle: int) -> None:
        self._profiles.write_text(json.dumps({"warm": {"warm": {"idle": idle, "most": max(idle, 1)}}}))

    def settings(self) -> Settings:
        section = {"redis_url": self.world.redis_url, "routes": "*=kubernetes:warm", "pod_creation_rate": "1000"}
        section |= {"profiles_file": str(self._profiles), **self._options}
        return relist_often(read_settings(DictConfig({"hybrid_executor": section}, team=self.name)))

    def start_agent(self) -> Any:
        return self.world.start_agent(f"agent-of-{self.name}", settings=self.settings(), is_watching=False)

    def waiting(self) -> dict[str, dict[str, Any]]:
        found = self.world.kube.list_pods("default", warm_selector(self.instance, WAITING)).items
        return {pod["metadata"]["name"]: pod for pod in found}

    def ready(self) -> set[str]:
        keys = [str(key) for key in self.store.client.keys(f"{self.store.keys.prefix}warm-ready:*")]
        return {str(pod).partition("/")[2] for key in keys for pod in self.store.client.zrange(key, 0, -1)}

    def submit(self, count: int) -> list[AttemptId]:
        attempts = [AttemptId(str(uuid.uuid4())) for _ in range(count)]
        fields: dict[str, str | int] = {"dag_id": "dag", "task_id": "task", "run_id": "run", "kind": "task"}
        fields |= {"queue": "q", "cluster": "default", "profile": "warm", "try_number": 1}
        self.store.attempts.submit(
            [
                Submission(
                    attempt=attempt,
                    owner=OwnerId("1"),
                    pool="kubernetes",
                    fields=fields,
                    payload=json.dumps({"token": f"token-of-{attempt}"}),
                    cluster="default",
                )
                for attempt in attempts
            ]
        )
        return attempts

    def pods_of(self, attempts: list[AttemptId]) -> set[str]:
        """Return the pods of attempts once all have succeeded."""

        def ended() -> set[str] | None:
            records = [record for record in self.store.attempts.records(attempts) if record is not None]
            is_over = all(record.state is State.SUCCEEDED for record in records)
            return {record.pod for record in records} if is_over else None

        return wait_until(ended)


@pytest.fixture
def teams(world: World) -> Iterator[tuple[Team, Team]]:
    WarmWorld(world)  # writes the template
    made = Team(world, "a", idle=2), Team(world, "b", idle=0)
    yield made
    for team in made:
        team.store.close()


def test_attempts_of_one_team_never_run_in_pods_that_wait_for_another(teams: tuple[Team, Team]) -> None:
    first, second = teams
    first.start_agent()
    waiting = wait_until(lambda: first.ready() if len(first.ready()) == 2 else set())
    second.start_agent()
    theirs = second.pods_of(second.submit(3))
    assert len(theirs) == 3
    assert theirs.isdisjoint(waiting)
    assert first.waiting().keys() == first.ready() == waiting, "they wait as before, and nobody has deleted one"
    assert first.pods_of(first.submit(2)) == waiting


def test_each_team_keeps_its_own_pods_and_replaces_no_others(teams: tuple[Team, Team]) -> None:
    first, second = teams
    second.describe(idle=2)
    for team in teams:
        team.start_agent()
        wait_until(lambda team=team: len(team.ready()) == 2)  # type: ignore[misc]
    kept = [team.ready() for team in teams]
    assert kept[0].isdisjoint(kept[1])
    labels = [{pod["metadata"]["labels"]["hybrid-executor/instance"] for pod in t.waiting().values()} for t in teams]
    kinds = [{pod["metadata"]["labels"]["hybrid-executor/warm-kind"] for pod in t.waiting().values()} for t in teams]
    assert labels == [{"airflow-a"}, {"airflow-b"}]
    assert kinds[0].isdisjoint(kinds[1]), "a kind names the instance, so even a shared key would not mix them"
    assert second.pods_of(second.submit(2)) == kept[1]
    assert first.ready() == kept[0]


def test_a_pod_that_redis_offers_to_the_wrong_team_is_not_claimed(teams: tuple[Team, Team]) -> None:
    """Whoever writes to Redis cannot give a team's pod away: the API server compares the pod's instance."""
    first, second = teams
    first.start_agent()
    waiting = wait_until(lambda: first.ready() if len(first.ready()) == 2 else set())
    [attempt] = second.submit(1)
    record, payload, _ = second.store.attempts.workload(attempt)
    assert record is not None
    entry = LaunchEntry(id=STREAM_START, op="launch", attempt=attempt, generation=record.generation)
    factory = PodFactory(
        second.world.kubernetes_settings(), instance=second.instance, profiles=second.settings().profiles
    )
    launches = WarmLaunches(
        cluster="default",
        instance=second.instance,
        client=second.world.kube,
        store=second.store,
        factory=factory,
        complaints=Complaints(),
    )
    claimed = Claimed(Launch(entry), record, f"default/{min(waiting)}", payload, is_new=True)
    assert isinstance(launches.hand_over.run(claimed), TakenBack)
    assert first.waiting().keys() == waiting
    assert first.pods_of(first.submit(2)) == waiting
