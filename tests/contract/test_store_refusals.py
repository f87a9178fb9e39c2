"""What a server refuses with, and what the store makes of it: on each kind of server, however it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from hybrid_executor.errors import ConfigError, StoreForbidden, StoreRefused, StoreUnavailable
from hybrid_executor.store import RedisSettings, Store, open_store
from hybrid_executor.store.refusals import refusal_of
from tests.contract.store_world import submission
from tests.integration.redis_installed import Server
from tests.redis_situations import SITUATIONS, full, programs, serve

SCRIPT = "return redis.call('SET', KEYS[1], 'x')"
WAYS: dict[str, Callable[[redis.Redis], object]] = {
    "raw": lambda client: client.set("k", "x"),
    "in a pipeline": lambda client: client.pipeline(transaction=False).get("k").set("k", "x").execute(),
    "in a transaction": lambda client: client.pipeline(transaction=True).set("k", "x").execute(),
    "in a script": lambda client: client.eval(SCRIPT, 1, "k"),
    "in a script in a pipeline": lambda client: client.pipeline(transaction=False).eval(SCRIPT, 1, "k").execute(),
}
NAMES = {
    "READONLY": "Redis refuses writes: it is a read-only replica (READONLY)",
    "OOM": "Redis refuses writes: maxmemory reached (OOM)",
    "NOREPLICAS": "Redis refuses writes: fewer replicas are connected than min-replicas-to-write (NOREPLICAS)",
    "MISCONF": "Redis refuses writes: it cannot save its data to disk (MISCONF)",
    "MASTERDOWN": "Redis refuses commands: it is a replica that has lost its primary (MASTERDOWN)",
    "BUSY": "Redis refuses commands: a script has been running for too long (BUSY)",
    "LOADING": "Redis is loading its data (LOADING)",
}


@pytest.fixture(scope="module", params=programs().items(), ids=programs().keys())
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = serve(tmp_path_factory.mktemp("refusing") / "data", request.param[1])
    yield started
    started.kill()


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    server.client.flushall()
    opened = open_store(RedisSettings(url=f"redis://127.0.0.1:{server.port}/0"), instance="test")
    yield opened
    opened.close()


def error_of(ask: Callable[[], object]) -> Exception:
    try:
        answer = ask()
    except redis.RedisError as error:
        return error
    raise AssertionError(f"it was not refused: {answer}")


@pytest.mark.parametrize("code", SITUATIONS)
def test_each_refusal_is_told_by_its_code_and_has_its_own_name_however_it_was_met(
    server: Server, store: Store, code: str
) -> None:
    store.attempts.submit([submission()])
    with SITUATIONS[code](server):
        refusals = {way: refusal_of(error_of(lambda ask=ask: ask(server.client))) for way, ask in WAYS.items()}
        with pytest.raises(StoreUnavailable) as caught:
            store.check_writes()
        with pytest.raises(StoreRefused):
            store.attempts.claim(submission().attempt, worker="w")
    replica_answers = {"READONLY", "MASTERDOWN"} if code == "MASTERDOWN" else {code}
    for way, refusal in refusals.items():
        assert refusal is not None, way
        assert refusal.code in replica_answers, way
        assert str(refusal) == NAMES[refusal.code], way
        assert not isinstance(refusal, ConfigError)
    assert str(caught.value) in {NAMES[known] for known in replica_answers}
    store.check_writes()
    assert store.attempts.claim(submission().attempt, worker="w").is_granted


def test_a_server_with_too_many_clients_says_so(server: Server, store: Store) -> None:
    store.ping()
    server.client.config_set("maxclients", 2)
    other = open_store(RedisSettings(url=f"redis://127.0.0.1:{server.port}/0", retries=0), instance="test")
    try:
        with pytest.raises(StoreRefused, match="Redis refuses connections: its maxclients limit is reached"):
            other.ping()
    finally:
        server.client.config_set("maxclients", 10000)
        other.close()


def test_a_cluster_node_without_its_cluster_is_an_outage(server: Server, tmp_path: Path) -> None:
    node = serve(tmp_path / "node", server.program, "--cluster-enabled", "yes")
    try:
        for way, ask in WAYS.items():
            refusal = refusal_of(error_of(lambda ask=ask: ask(node.client)))
            assert str(refusal) == "Redis refuses commands: its cluster is down (CLUSTERDOWN)", way
    finally:
        node.kill()


@pytest.mark.parametrize(
    "rights", [("~*", "+@all", "-set"), ("~other:*", "+@all"), ("~*", "-@all", "+eval", "+multi", "+exec", "+get")]
)
def test_a_missing_permission_is_a_setting_to_correct_however_it_was_met(
    server: Server, rights: tuple[str, ...]
) -> None:
    server.client.execute_command("ACL", "SETUSER", "some", "reset", "on", ">of-some", *rights)
    client = redis.Redis(port=server.port, username="some", password="of-some", decode_responses=True)
    for way, ask in WAYS.items():
        refusal = refusal_of(error_of(lambda ask=ask: ask(client)))
        assert isinstance(refusal, StoreForbidden), way
        assert refusal.code == "NOPERM", way
    client.close()


@pytest.mark.parametrize("url", ["redis://some:wrong@127.0.0.1:{}/0", "redis://nobody:of-some@127.0.0.1:{}/0"])
def test_a_user_who_is_not_let_in_is_a_setting_to_correct(server: Server, url: str) -> None:
    server.client.execute_command("ACL", "SETUSER", "some", "reset", "on", ">of-some")
    store = open_store(RedisSettings(url=url.format(server.port)), instance="test")
    with pytest.raises(StoreForbidden, match="Redis refuses user or password") as caught:
        store.ping()
    assert "wrong@" not in str(caught.value)
    assert "of-some" not in str(caught.value)
    store.close()


def test_a_mistake_is_no_outage(server: Server) -> None:
    server.client.set("k", "x")
    mistakes: list[Callable[[], Any]] = [
        lambda: server.client.lpush("k", "y"),
        lambda: server.client.eval("return redis.call('LPUSH', KEYS[1], 'y')", 1, "k"),
        lambda: server.client.eval("return nil .. 1", 0),
        lambda: server.client.execute_command("NO-SUCH-COMMAND"),
        lambda: (
            server.client.xgroup_create("stream", "group", mkstream=True)
            and server.client.xgroup_create("stream", "group")
        ),
    ]
    for ask in mistakes:
        assert refusal_of(error_of(ask)) is None


def test_the_command_of_a_pipeline_which_may_hold_a_token_is_not_told(server: Server, store: Store) -> None:
    with full(server), pytest.raises(StoreRefused) as caught:
        store.attempts.submit([submission(payload="a-secret-token")])
    assert "secret" not in str(caught.value)
    with suppress(StoreUnavailable):
        store.ping()


def test_after_a_fail_over_the_next_question_goes_over_a_new_connection(server: Server, store: Store) -> None:
    store.attempts.submit([submission()])
    before = store.client.client_id()
    with SITUATIONS["READONLY"](server), pytest.raises(StoreRefused):
        store.attempts.claim(submission().attempt, worker="w")
    assert store.client.client_id() != before
