"""Each permission that the documented ACL gives is missed by its name, on each kind of server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

import pytest

from hybrid_executor.errors import StoreForbidden
from hybrid_executor.store import RedisSettings, open_store, scripts
from hybrid_executor.store.permissions import STORE_COMMANDS
from tests.integration.redis_installed import Server
from tests.redis_acl import PASSWORD, create_user, documented_rules
from tests.redis_situations import programs, serve

USER, RULES = documented_rules()["executor"]


@pytest.fixture(scope="module", params=programs().items(), ids=programs().keys())
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = serve(tmp_path_factory.mktemp("guarded") / "data", request.param[1])
    yield started
    started.kill()


def trouble_with(server: Server, rules: list[str]) -> str:
    create_user(server.client, USER, rules)
    store = open_store(RedisSettings(url=f"redis://{USER}:{PASSWORD}@127.0.0.1:{server.port}/0"), instance="airflow")
    try:
        store.check_permissions(["default"])
    except StoreForbidden as error:
        return str(error)
    finally:
        store.close()
        assert all(server.client.pttl(key) != -1 for key in server.client.scan_iter()), "it leaves nothing behind"
    return ""


def test_the_documented_acl_is_enough(server: Server) -> None:
    assert trouble_with(server, RULES) == ""


def test_each_command_that_is_missing_is_named_and_none_else(server: Server) -> None:
    commands = [rule for rule in RULES if rule.startswith("+") and rule not in ("+select", "+ping")]
    assert {rule[1:].partition("|")[0].upper() for rule in commands} == set(STORE_COMMANDS) - {"PING"}
    for rule in commands:
        missing = [left for left in RULES if left != rule]
        name = rule[1:].partition("|")[0].upper()
        assert f"The ACL of the Redis user {USER} lacks the commands {name}: grant" in trouble_with(server, missing)


@pytest.mark.parametrize("pattern", ["~{hybrid:airflow}:*", "~default*"])
def test_each_key_pattern_that_is_missing_is_named_and_nothing_else(server: Server, pattern: str) -> None:
    missing = [rule for rule in RULES if rule != pattern]
    words = f"The ACL of the Redis user {USER} lacks the key patterns {pattern[1:]}: grant"
    assert words in trouble_with(server, missing)


def test_several_are_named_together(server: Server) -> None:
    missing = [rule for rule in RULES if rule not in ("+xadd", "+hset", "~default*")]
    assert "lacks the commands HSET, XADD; the key patterns default*: grant" in trouble_with(server, missing)


def test_a_user_who_may_do_nothing_is_told_all(server: Server) -> None:
    said = trouble_with(server, ["on", f">{PASSWORD}"])
    assert "{hybrid:airflow}:*" in said
    assert "EVALSHA" in said or "SCRIPT" in said
    assert PASSWORD not in said


def test_the_trials_know_every_command_of_the_scripts() -> None:
    folder = resources.files(scripts)
    sources = [path.read_text(encoding="utf-8") for path in folder.iterdir() if path.name.endswith(".lua")]
    assert len(sources) > 5
    for source in sources:
        called = set(re.findall(r"\w\(\s*['\"]([A-Z]{2,})['\"]", source))
        assert called <= set(STORE_COMMANDS), source
