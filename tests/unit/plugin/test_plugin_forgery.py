"""Which requests count as sent by a form of the page."""

from __future__ import annotations

import pytest

from hybrid_executor.plugin.page.forgery import Tokens, comes_from_us

BASE = "https://airflow.example.com/team"


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        # What a browser says of the site counts more than an origin that looks right.
        ({"sec-fetch-site": "cross-site", "origin": "https://airflow.example.com"}, False),
        ({"origin": "https://airflow.example.com", "host": "internal:8080"}, True),
        ({"origin": "http://airflow.example.com", "host": "internal:8080"}, False),
        ({"origin": "http://internal:8080", "host": "internal:8080"}, True),
        ({"origin": "https://evil.example.com", "host": "internal:8080"}, False),
        ({"origin": "https://airflow.example.com.evil.org", "host": "internal:8080"}, False),
        ({"origin": "null", "host": "internal:8080"}, False),
        ({"host": "internal:8080"}, False),
        ({}, False),
    ],
)
def test_only_the_same_origin_sends_our_forms(headers: dict[str, str], is_ours: bool) -> None:
    assert comes_from_us(headers, base_url=BASE) is is_ours


def test_without_a_base_url_the_host_decides() -> None:
    assert comes_from_us({"origin": "http://localhost:8080", "host": "localhost:8080"}, base_url="")
    assert not comes_from_us({"origin": "", "host": "localhost:8080"}, base_url="")


def test_a_form_token_belongs_to_one_user() -> None:
    tokens = Tokens("secret")
    assert tokens.is_form(tokens.make_form("anna"), "anna")
    assert not tokens.is_form(tokens.make_form("anna"), "otto")


def test_a_form_token_of_another_deployment_is_refused() -> None:
    assert not Tokens("secret").is_form(Tokens("other").make_form("anna"), "anna")
    assert not Tokens("secret").is_form("", "anna")


def test_a_form_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens("secret")
    token = tokens.make_form("anna")
    monkeypatch.setattr(
        "itsdangerous.timed.time.time", lambda: __import__("datetime").datetime.now().timestamp() + 9 * 3600
    )
    assert not tokens.is_form(token, "anna")


def test_any_api_server_of_a_deployment_accepts_the_token_of_another_one() -> None:
    assert Tokens("secret").is_form(Tokens("secret").make_form("anna"), "anna")


def test_a_notice_says_only_what_we_said() -> None:
    tokens = Tokens("secret")
    assert tokens.read_notice(tokens.make_notice("celery@a: draining", is_good=True)) == ("celery@a: draining", True)
    assert tokens.read_notice("celery@a: draining") is None
    assert tokens.read_notice("") is None
    # A token for forms is not a notice, though the same key signs it.
    assert tokens.read_notice(tokens.make_form("anna")) is None
