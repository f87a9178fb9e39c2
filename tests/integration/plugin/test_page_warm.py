"""The page shows the warm pods of each profile, as ``airflow hybrid status`` does."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybrid_executor.store import Store
from tests.integration.plugin.conftest import Html, Visitor
from tests.pretended import announce_agent

pytestmark = pytest.mark.redis

SEEN = {"ready": 2, "starting": 1, "stale": 3, "wanted": 4, "cpu": 1.5, "memory": 3 * 2**28}
TALLY = {"hits": 9, "misses": {"none_waiting": 2, "executor_config": 1}}


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "profiles.yaml").write_text("quick: {warm: {idle: 4}}\n")
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__PROFILES_FILE", str(tmp_path / "profiles.yaml"))
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__ROUTES", "*=kubernetes:quick")


def page(visitor: Visitor) -> str:
    answer = visitor.get_loaded()
    assert answer.status_code == 200, answer.text
    return Html(answer.text).text


@pytest.mark.usefixtures("profile")
def test_it_shows_what_waits_what_it_costs_and_how_often_it_was_used(visitor: Visitor, store: Store) -> None:
    announce_agent(store, "keeper", warm={"quick": {**TALLY, **SEEN}})
    announce_agent(store, "other", warm={"quick": {"hits": 3, "misses": {"none_waiting": 1}}})
    text = page(visitor)
    assert "quick 2 of 4 1 3 0 1.5 CPU, 768 MiB 12 (75%) 1 executor_config, 3 none_waiting" in text


@pytest.mark.usefixtures("profile")
def test_it_says_where_no_agent_keeps_warm_pods(visitor: Visitor, store: Store) -> None:
    announce_agent(store, "agent", warm={"quick": TALLY})
    assert "quick unknown: no agent keeps them" in page(visitor)


def test_without_warm_pods_there_is_no_table(visitor: Visitor, store: Store) -> None:
    announce_agent(store, "agent")
    assert "Warm pods" not in page(visitor)
