"""Redis URLs are read in one way; what is wrong is said without any part of the URL."""

from __future__ import annotations

import ssl
import traceback
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.url import parse_url as parsed_by_kombu
from redis.connection import parse_url as parsed_by_redis

from hybrid_executor.config import DictConfig
from hybrid_executor.config.broker import read_broker
from hybrid_executor.config.redis_url import is_redis_url, parse_redis_url
from hybrid_executor.config.settings import read_redis
from hybrid_executor.errors import ConfigError
from hybrid_executor.store import RedisSettings, open_store

OPTIONS = ("[hybrid_executor] redis_url", "[celery] broker_url")
# Letters that no message holds, and all that means something in a URL.
RAW = st.text(alphabet="ЖЩЪ/@#?%:;&=[]+ \n\t２", min_size=1, max_size=12)


@given(user=st.text(), password=st.text(min_size=1), database=st.integers(0, 99))
def test_any_user_and_password_reach_both_libraries_as_they_are(user: str, password: str, database: int) -> None:
    written = f"redis://{quote(user, safe='')}:{quote(password, safe='')}@h:7/{database}"
    address = parse_redis_url(written)
    assert (address.username, address.password, address.database) == (user, password, database)
    assert parse_redis_url(address.url) == address
    theirs, celerys = parsed_by_redis(address.url), parsed_by_kombu(address.url)
    assert (theirs.get("username", ""), theirs["password"]) == (user, password)
    assert (celerys["userid"] or "", celerys["password"]) == (user, password)
    assert (celerys["hostname"], celerys["port"], celerys["virtual_host"]) == ("h", 7, str(database))


@pytest.mark.parametrize("form", ["redis://:{}@h/0", "sentinel://u:{}@h;sentinel://i/0", "unix://:{}@/run/r.sock?db=1"])
@given(password=RAW)
def test_no_part_of_a_password_that_was_not_encoded_is_shown(form: str, password: str) -> None:
    try:
        address = parse_redis_url(form.format(password))
    except ConfigError as error:
        told = "".join(traceback.format_exception(error)).partition("ConfigError")[2]
        assert not set(told) & set("ЖЩЪ２")
    else:
        assert address.password == unquote(password)
        assert address.path in ("", "/run/r.sock")
        assert not set(repr(address)) & set("ЖЩЪ２")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:pa/ss@h/0", "write %2F for /"),
        ("redis://:12/34@h/0", "%2F"),
        ("redis://:12?34@h/0", "%3F"),
        ("redis://:pa#ss@h/0", "%23 for #"),
        ("redis://u:pa;ss@h/0", "%3B for ;"),
        ("redis://h:port/0", "host or port is malformed"),
        ("redis://h:0/0", "host or port is malformed"),
        ("redis://h:70000/0", "host or port is malformed"),
        ("redis://::1:6379/0", r"\[::1\]:6379"),
        ("redis://a:1,b:2/0", "host or port is malformed"),
        ("redis://h/mydb", "the database is not a number"),
        ("redis://h/-1", "the database is not a number"),
        ("redis://h/1/2", "the database is not a number"),
        ("redis://h/²", "the database is not a number"),
        ("redis://h/1?db=2", "two different databases"),
        ("redis://h/1?db=2&db=2", "appears twice"),
        ("redis://a/0;redis://b/0", "sentinel://"),
        ("redis://a/0;", "';'"),
        ("unix://run/redis.sock", "after three slashes"),
        ("unix:///", "after three slashes"),
        ("unix:///r.sock?ssl_cert_reqs=none", "does not use TLS"),
        ("redis://h/0?ssl_ca_certs=/ca", "begin it with rediss://"),
        ("rediss://h/0?ssl_cert_reqs=maybe", "required, optional or none"),
        ("rediss://h/0?ssl_check_hostname=maybe", "ssl_check_hostname is not True or False"),
        ("rediss://h/0?ssl_min_version=old", "ssl_min_version is not a number or TLSv1_2"),
        ("redis://h/0?socket_timeout=soon", "socket_timeout is not a number"),
        ("redis://h/0?decode_responses=True", "unknown option after"),
        ("redis://u:p@h/0?credential_provider=a.B", "credential_provider and also a user or password"),
        ("sentinel://a;b/0", "begin each Sentinel"),
        ("sentinel://a/1;sentinel://b/2", "two different databases"),
        ("sentinel://:p@a;sentinel://:q@b", "different users, passwords"),
        ("redis:h:6379/0", "write redis://"),
        ("rediss+sentinel://h/0", "write redis://"),
        ("redis+cluster://h/0", "write redis://"),
    ],
)
def test_what_cannot_mean_the_same_to_both_says_what_to_write(url: str, words: str) -> None:
    assert is_redis_url(url)
    master = {"celery_broker_transport_options": {"master_name": "m"}}
    for option, section, name in zip(OPTIONS, ("hybrid_executor", "celery"), ("redis_url", "broker_url"), strict=True):
        conf = DictConfig({section: {name: url}, **master})
        for read in (read_redis, read_broker):
            with pytest.raises(ConfigError, match=words) as caught:
                read(conf)
            assert str(caught.value).startswith(f"{option} is not valid: ")


def test_an_empty_database_is_the_first_one() -> None:
    assert parse_redis_url("redis://h/?db=").database == 0


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("redis://", "redis://localhost/0"),
        ("redis://:6380", "redis://localhost:6380/0"),
        ("valkey://h?db=2", "redis://h/2"),
        ("redis://u@[FE80::1%25eth0]:7/0", "redis://u@[fe80::1%25eth0]:7/0"),
        ("unix:///run/a b.sock", "redis+socket:///run/a%20b.sock?virtual_host=0"),
        ("sentinel://a;sentinel://:p%2F@b:1/2", "sentinel://:p%2F@a/2;sentinel://:p%2F@b:1/2"),
        ("rediss://h/0?ssl_cert_reqs=none", "rediss://h/0"),
    ],
)
def test_celery_gets_every_address_in_one_form(written: str, normal: str) -> None:
    assert parse_redis_url(written).url == normal
    assert parse_redis_url(normal, {"ssl_cert_reqs": "none"} if "rediss" in normal else {}) == parse_redis_url(written)


@pytest.mark.parametrize(
    ("text", "checks"),
    [
        ("CERT_REQUIRED", ssl.CERT_REQUIRED),
        ("required", ssl.CERT_REQUIRED),
        ("CERT_OPTIONAL", ssl.CERT_OPTIONAL),
        ("optional", ssl.CERT_OPTIONAL),
        ("CERT_NONE", ssl.CERT_NONE),
        ("none", ssl.CERT_NONE),
        ("None", ssl.CERT_NONE),
        (None, ssl.CERT_NONE),
        (ssl.CERT_OPTIONAL, ssl.CERT_OPTIONAL),
    ],
)
def test_certificate_checks_are_asked_for_in_any_spelling(text: Any, checks: ssl.VerifyMode) -> None:
    address = parse_redis_url("rediss://h", {"ssl_cert_reqs": text})
    assert address.tls == {"ssl_cert_reqs": checks}


def test_certificates_are_checked_by_default_on_both_sides() -> None:
    for url in ("rediss://h", "valkeys://h"):
        assert read_broker(DictConfig({"celery": {"broker_url": url}})).tls == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
        assert parse_redis_url(url).connection_arguments()["ssl_cert_reqs"] is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "other"}, "redis_options must not have host"),
        ({"sentinel_kwargs": "x"}, "sentinel_kwargs is not a JSON object"),
        ({"no_such_argument": 1}, "redis_options .*no_such_argument"),
        ({"credential_provider": "no.such.Class"}, "credential_provider .*no.such.Class, cannot be made"),
        ({"credential_provider": "builtins.dict"}, "is not a redis.CredentialProvider"),
    ],
)
def test_a_further_argument_that_cannot_be_used_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_store(RedisSettings(url="redis://h", options=options), instance="test")


def test_one_database_is_recognised_by_all_that_it_is_reached_by() -> None:
    def place(url: str, **options: Any) -> tuple[object, ...]:
        return parse_redis_url(url, options).place

    assert place("sentinel://a;sentinel://b/1", master_name="m") == place(
        "sentinel://b;sentinel://a/1", master_name="m"
    )
    assert place("sentinel://a/1", master_name="m") != place("sentinel://a/1", master_name="n")
    assert place("unix:///r?db=1") == place("redis+socket:///r?virtual_host=1") != place("unix:///r")
    assert place("redis://h?db=1") == place("rediss://u:p@H:6379/1")
