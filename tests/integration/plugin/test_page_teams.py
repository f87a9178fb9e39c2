"""The page with two teams and an executor of all teams: who sees, and does, what."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from hybrid_executor.states import State
from hybrid_executor.store import RedisSettings, Store, open_store
from tests.integration import rows
from tests.integration.plugin.conftest import Html, Visitor
from tests.pretended import announce_worker, submit

pytestmark = pytest.mark.redis

OURS = "hybrid_executor.HybridExecutor"


@pytest.fixture
def teams(
    visitor: Visitor, store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch, airflow_db: None
) -> Iterator[dict[str, Store]]:
    """The store of each team, each with a worker and with an attempt of a Dag of the team."""
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", f"{OURS};red={OURS};blue={OURS}")
    stores = {"": store}
    for team in ("red", "blue"):
        monkeypatch.setenv(f"AIRFLOW__{team.upper()}___HYBRID_EXECUTOR__REDIS_URL", redis_url)
        stores[team] = open_store(RedisSettings(url=redis_url), instance=f"airflow-{team}", retention_seconds=60)
    session = rows.open_session()
    rows.clear_teams(session)
    rows.clear(session)
    rows.insert_teams(session, red="of_red", blue="of_blue")
    for team, one in stores.items():
        announce_worker(one, f"{team or 'all'}@host")
        submit(one, [str(uuid.uuid4())], dag=f"of_{team}" if team else "etl", task="load")
    yield stores
    rows.clear_teams(session)
    rows.clear(session)
    session.close()
    stores["red"].close()
    stores["blue"].close()


def offered(visitor: Visitor, user: str) -> list[str]:
    """Return the teams that the page has links to, beside the one that it shows."""
    links = [urlsplit(str(link.get("href"))) for link in Html(visitor.get_loaded(user=user).text).all("a")]
    return [parse_qs(link.query, keep_blank_values=True)["team"][0] for link in links if link.query.startswith("team=")]


def test_a_user_is_offered_the_teams_that_the_user_belongs_to(visitor: Visitor, teams: dict[str, Store]) -> None:
    assert offered(visitor, "admin") == ["red", "blue"]
    assert offered(visitor, "ruth") == ["red"]
    assert offered(visitor, "op") == []


def test_the_page_of_a_team_has_only_what_is_of_this_team(visitor: Visitor, teams: dict[str, Store]) -> None:
    page = Html(visitor.get_loaded(user="ruth", team="red").text).text
    assert "Instance airflow-red, of team red" in page
    assert "red@host" in page
    assert "of_red.load" in page
    for other in ("all@host", "blue@host", "etl.load", "of_blue"):
        assert other not in page
    whole = Html(visitor.get_loaded(user="ruth", team="").text).text
    assert ("all@host" in whole, "red@host" in whole) == (True, False)


@pytest.mark.parametrize("path", ["", "confirm"])
def test_the_page_of_another_team_and_of_no_team_are_refused_alike(
    visitor: Visitor, teams: dict[str, Store], path: str
) -> None:
    action = {"action": "drain-worker", "name": "red@host"} if path else {}
    answers = [visitor.get(path, user="bob", team=team, **action) for team in ("red", "green")]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].text == answers[1].text
    assert "red@host" not in Html(answers[0].text).text


def test_a_worker_is_drained_by_its_own_team_only(visitor: Visitor, teams: dict[str, Store]) -> None:
    form = {"action": "drain-worker", "name": "red@host", "team": "red"}
    asked = visitor.get("confirm", user="ruth", **form)
    assert asked.status_code == 200
    assert {"type": "hidden", "name": "team", "value": "red"} in Html(asked.text).all("input")
    assert visitor.post("do", {**form, "token": visitor.token("bob")}, user="bob").status_code == 403
    # Under another team's name there is no such worker.
    other = visitor.post("do", {**form, "team": "blue", "token": visitor.token("bob")}, user="bob")
    assert other.status_code in (303, 409)
    assert teams["red"].orders.take("life-of-red@host") == []
    answer = visitor.post("do", {**form, "token": visitor.token("ruth")}, user="ruth")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("./?team=red&notice=")


def test_an_attempt_of_another_team_can_neither_be_seen_nor_revoked(visitor: Visitor, teams: dict[str, Store]) -> None:
    [attempt] = teams["red"].attempts.live("celery")
    task = {"dag_id": "of_red", "run_id": "run1"}
    assert visitor.get("run", user="bob", **task).status_code == 403
    assert attempt in visitor.get_loaded("run", user="ruth", **task).text
    form = {"attempt": attempt}
    assert visitor.post("revoke", {**form, "token": visitor.token("bob")}, user="bob").status_code == 403
    [record] = teams["red"].attempts.records([attempt])
    assert record is not None
    assert record.state is State.SUBMITTED
    answer = visitor.post("revoke", {**form, "token": visitor.token("ruth")}, user="ruth")
    assert answer.status_code == 303, answer.text
    [record] = teams["red"].attempts.records([attempt])
    assert record is not None
    assert record.state is State.REVOKED


def test_what_the_page_says_to_do_is_written_for_the_team(visitor: Visitor, teams: dict[str, Store]) -> None:
    submit(teams["blue"], [str(uuid.uuid4())], dag="of_blue", task="late", queue="nobody")
    page = Html(visitor.get_loaded(user="bob", team="blue").text).text
    assert "airflow hybrid worker --team blue --queues nobody" in page
