"""Two teams and an executor of all teams under two schedulers, of which one is killed: everything stays in its team."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from hybrid_executor.sandbox.objects import PODS
from hybrid_executor.store import Record, Store
from tests.fault import invariants
from tests.fault.course import wait_begun
from tests.fault.load import Load
from tests.fault.teams import BUNDLES, INSTANCES, QUEUES, TeamDeployment
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamDeployment]:
    with TeamDeployment(tmp_path_factory.mktemp("teams")) as running:
        yield running


def test_what_a_killed_scheduler_ran_for_each_team_goes_on_under_another_one_and_stays_in_its_team(
    deployment: TeamDeployment,
) -> None:
    load = Load(deployment.api, deployment.database, deployment.marks)
    since = deployment.count_heartbeats()
    seen: dict[str, dict[str, Record]] = {team: {} for team in BUNDLES}

    def look() -> None:
        for team, store in deployment.stores.items():
            seen[team].update({record.id: record for record in all_records(store)})

    for team in BUNDLES.values():
        load.start(f"of_{team}", seconds=12)
        load.start(f"late_{team}", seconds=12)
    for run, dag in load.runs.items():
        wait_begun(load, run, "on_worker", *(["in_pod"] if dag.startswith("of_") else []))
    # What is queued now waits behind it, and the callbacks of the missed deadlines run or wait.
    for team in BUNDLES.values():
        load.start(f"of_{team}", seconds=1)
    tests = {team: enqueue_connection_test(deployment, team) for team in BUNDLES}
    wait_until(lambda: (look(), len(missed(deployment)) >= 1)[1], what="a callback has begun")
    # Airflow gives up what a scheduler has only in its memory when it dies.
    wait_until(
        lambda: (look(), all(count_tests(found) for found in seen.values()))[1],
        what="the connection tests are submitted",
    )
    victim = busiest(deployment)
    job = deployment.job_of(victim)
    deployment.part(victim).kill()
    for team in BUNDLES.values():
        load.start(f"of_{team}", seconds=1)
        load.start(f"late_{team}", seconds=5)
    load.wait(*load.runs, advance=look)
    wait_until(
        lambda: (look(), callback_states(deployment) == {"success": 6})[1], seconds=180, what=lambda: told(deployment)
    )
    wait_until(
        lambda: (look(), set(connection_tests(deployment).values()) == {"success"})[1],
        what=lambda: f"the connection tests have ended: {connection_tests(deployment)}",
    )
    assert len(tests) == len(connection_tests(deployment)) == 3
    wait_until(lambda: (look(), not left(deployment, job))[1], what=lambda: f"nothing is left: {left(deployment, job)}")
    check(deployment, load, seen)
    slowest = invariants.check_heartbeats(deployment, since=since)
    print(f"{len(load.runs)} runs, {sum(map(len, seen.values()))} attempts; longest heartbeat {slowest:.2f} s")


def check(deployment: TeamDeployment, load: Load, seen: dict[str, dict[str, Record]]) -> None:
    """Nothing was done twice, no try was spent, and everything was done in its team."""
    invariants.check_ends(load, load.runs)
    invariants.check_each_try_is_another_attempt(load, load.runs)
    invariants.check_no_try_was_spent(load, load.runs)
    invariants.check_nothing_was_said(load, load.runs)
    invariants.check_lives(deployment)
    notes = missed(deployment)
    assert max(Counter(notes).values()) == 1, "no callback was run twice"
    assert len(notes) == 6
    for team, bundle in BUNDLES.items():
        records = list(seen[team].values())
        tasks = [record for record in records if record.kind == "task"]
        assert {record.dag_id for record in tasks} == {f"of_{bundle}", f"late_{bundle}"}
        assert {record.dag_id for record in records if record.kind == "callback"} == {f"late_{bundle}"}
        assert Counter(record.kind for record in records)["callback"] == 2
        assert count_tests(seen[team]) == 1
        assert [note for note in notes if note[0] == bundle] == [note for note in notes if note[1] == f"late_{bundle}"]
        holders = {record.holder.partition("@")[0] for record in records if record.pool == "celery"}
        assert holders <= ({"worker-red"} if team == "red" else {"worker-shared"} if not team else set())
    ids = [attempt for found in seen.values() for attempt in found]
    assert len(ids) == len(set(ids)), "no attempt is known to two teams"


def count_tests(found: dict[str, Record]) -> int:
    """Return how many of these records are connection tests."""
    return sum(record.kind == "connection_test" for record in found.values())


def all_records(store: Store) -> list[Record]:
    """Return all records of an instance, also of what has ended."""
    prefix = store.keys.attempt("")  # type: ignore[arg-type]
    names = [str(key).removeprefix(prefix) for key in store.client.scan_iter(f"{prefix}*", count=1000)]
    found = store.attempts.records(names)  # type: ignore[arg-type]
    return [record for record in found if record is not None]


def busiest(deployment: TeamDeployment) -> str:
    """Return the scheduler that answers for most attempts."""
    with deployment.redis.client() as client:
        owned = {
            name: sum(
                int(client.scard(f"{{hybrid:{instance}}}:owner:{deployment.job_of(name)}"))
                for instance in INSTANCES.values()
            )
            for name in deployment.schedulers
        }
    return max(owned, key=owned.__getitem__)


def enqueue_connection_test(deployment: TeamDeployment, team: str) -> str:
    """Let Airflow test a connection of a team as a person does; return the token to ask with."""
    body: dict[str, Any] = {"connection_id": f"files_of_{team or 'all'}", "conn_type": "fs", "extra": '{"path": "/"}'}
    if team:
        body["team_name"] = team
    return str(deployment.api._ask("POST", "/api/v2/connections/enqueue-test", body)["token"])


def connection_tests(deployment: TeamDeployment) -> dict[str, str]:
    """Return the states of all connection tests by their connection, with the message of one that has failed."""
    query = text("SELECT connection_id, state, result_message FROM connection_test_request")
    with deployment.database.connect() as connection:
        return {
            row.connection_id: row.state if row.state != "failed" else f"failed: {row.result_message}"
            for row in connection.execute(query)
        }


def callback_states(deployment: TeamDeployment) -> dict[str, int]:
    """Return how many callbacks are in each state, of those whose deadline was missed."""
    query = text("SELECT state, count(*) AS number FROM callback WHERE type = 'executor' GROUP BY state")
    with deployment.database.connect() as connection:
        return {row.state: row.number for row in connection.execute(query)}


def told(deployment: TeamDeployment) -> str:
    return f"all callbacks have succeeded: {callback_states(deployment)}, {missed(deployment)}"


def missed(deployment: TeamDeployment) -> list[tuple[str, str, str]]:
    """Return what callbacks have noted: team, Dag and run."""
    file = deployment.marks.with_name(f"{deployment.marks.name}.missed")
    lines = file.read_text().splitlines() if file.exists() else []
    return [(team, dag, run) for team, dag, run, _ in (line.split("\t") for line in lines)]


def left(deployment: TeamDeployment, job: str) -> dict[str, Any]:
    """Return what Redis and the cluster hold still of attempts, empty for nothing."""
    found: dict[str, Any] = {}
    with deployment.redis.client() as client:
        for team, instance in INSTANCES.items():
            prefix = f"{{hybrid:{instance}}}"
            found[f"messages of {instance}"] = client.llen(QUEUES[team])
            found[f"attempts of the dead scheduler in {instance}"] = client.scard(f"{prefix}:owner:{job}")
            for kind in ("owner", "payload", "overrides"):
                found[f"{kind} in {instance}"] = list(client.scan_iter(f"{prefix}:{kind}:*", count=1000))
            for pool in ("celery", "kubernetes"):
                found[f"live in {pool} of {instance}"] = list(client.smembers(f"{prefix}:live:{pool}"))
    pods = deployment.sandbox.call(lambda: deployment.sandbox.cluster.select(PODS))
    found["pods"] = [pod["metadata"]["name"] for pod in pods]
    return {name: value for name, value in found.items() if value}
