"""Every way to write a Redis URL leads store and Celery to the same server, database and user, on real servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from celery import Celery  # type: ignore[import-untyped]
from kombu.exceptions import OperationalError

from hybrid_executor.config import DictConfig
from hybrid_executor.config.celery import build_celery_config, read_celery_settings
from hybrid_executor.config.settings import read_redis
from hybrid_executor.errors import ConfigError, StoreUnavailable
from hybrid_executor.states import State
from hybrid_executor.store import RedisSettings, open_store
from hybrid_workers.celery_app import create_worker_app
from hybrid_workers.deployment import read_deployment
from tests.certificates import write_certificate
from tests.integration.rabbitmq import free_port
from tests.integration.redis_installed import MASTER, PASSWORD, SENTINEL_PASSWORD, Server, Watched, find_server
from tests.integration.workers.near_side import Scheduler, start_worker_process, wait_until

pytestmark = [
    pytest.mark.redis_server,
    pytest.mark.skipif(find_server() is None, reason="redis-server is not installed"),
]
Sections = Mapping[str, Mapping[str, str]]

USER, USERS_PASSWORD = "a/user@x", "p/a@s#s%w?o:r;d&+=é"
LOGIN = f"{quote(USER, safe='')}:{quote(USERS_PASSWORD, safe='')}@"
OPEN_USER = "open"


class Provider(redis.CredentialProvider):
    """Stands for one that asks a cloud for a token."""

    def get_credentials(self) -> tuple[str, str]:
        return USER, USERS_PASSWORD


@dataclass(frozen=True)
class Reached:
    """Where a connection has come to."""

    server: str
    database: int
    user: str


@dataclass(frozen=True)
class Places:
    """One server with all its doors, and its certificate."""

    server: Server
    tls_port: int
    socket: Path
    certificate: Path

    def fill(self, url: str) -> str:
        """Return the URL with its placeholders filled in."""
        return (
            url.replace("PORT", str(self.server.port))
            .replace(":TLS", f":{self.tls_port}")
            .replace("SOCKET", str(self.socket))
            .replace("=CA", "=" + quote(str(self.certificate), safe=""))
        )


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    directory = tmp_path_factory.mktemp("redis")
    certificate, tls_port, socket = write_certificate(directory, "redis"), free_port(), directory / "r.sock"
    file = str(certificate)
    server = Server(
        directory / "server",
        *("--bind", "127.0.0.1", "-::1", "--save", "", "--tls-port", str(tls_port), "--tls-auth-clients", "optional"),
        *("--tls-cert-file", file, "--tls-key-file", file, "--tls-ca-cert-file", file, "--unixsocket", str(socket)),
    )
    everything = {"categories": ["+@all"], "keys": ["*"], "channels": ["*"], "enabled": True}
    server.client.acl_setuser(USER, passwords=[f"+{USERS_PASSWORD}"], **everything)
    server.client.acl_setuser(OPEN_USER, nopass=True, **everything)
    yield Places(server, tls_port, socket, certificate)
    server.kill()


def reached_by_store(sections: Sections) -> Reached:
    location = read_redis(DictConfig({name: dict(options) for name, options in sections.items()}))
    assert location is not None
    store = open_store(RedisSettings(url=location.url, options=location.options), instance="airflow")
    try:
        store.ping()
        return _ask(store.client)
    finally:
        store.close()


def reached_by_celery(sections: Sections) -> Reached:
    settings = read_celery_settings(DictConfig({name: dict(options) for name, options in sections.items()}))
    app: Any = Celery("test", set_as_current=False)
    app.config_from_object(build_celery_config(settings, default_queue="default"))
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, interval_max=0, timeout=5)
        with connection.channel().conn_or_acquire() as client:
            return _ask(client)


def _ask(client: Any) -> Reached:
    server, own = client.info("server"), client.client_info()
    return Reached(server["run_id"], int(own["db"]), own["user"])


@pytest.mark.parametrize("is_stores", [True, False], ids=["redis_url", "broker_url"])
@pytest.mark.parametrize(
    ("url", "database", "user"),
    [
        ("redis://127.0.0.1:PORT", 0, "default"),
        ("redis://127.0.0.1:PORT/", 0, "default"),
        ("  redis://127.0.0.1:PORT/2 ", 2, "default"),
        ("REDIS://127.0.0.1:PORT/2", 2, "default"),
        ("redis://:PORT/2", 2, "default"),
        ("redis://[::1]:PORT/2", 2, "default"),
        ("redis://127.0.0.1:PORT?db=3", 3, "default"),
        ("redis://127.0.0.1:PORT/3?db=3&socket_timeout=4&client_name=me", 3, "default"),
        ("redis://127.0.0.1:PORT/0?virtual_host=0", 0, "default"),
        ("valkey://127.0.0.1:PORT/4", 4, "default"),
        (f"redis://{LOGIN}127.0.0.1:PORT/5", 5, USER),
        (f"redis://127.0.0.1:PORT/5?username={LOGIN[:-1].replace(':', '&password=')}", 5, USER),
        (f"redis://{OPEN_USER}@127.0.0.1:PORT/5", 5, OPEN_USER),
        (f"redis://127.0.0.1:PORT/1?credential_provider={__name__}.Provider", 1, USER),
        ("redis+socket://SOCKET?virtual_host=6", 6, "default"),
        ("unix://SOCKET?db=7", 7, "default"),
        (f"socket://{LOGIN}SOCKET", 0, USER),
        (f"unix://SOCKET?db=2&credential_provider={__name__}:Provider", 2, USER),
        ("rediss://127.0.0.1:TLS/8?ssl_ca_certs=CA", 8, "default"),
        ("rediss://127.0.0.1:TLS/8?ssl_ca_certs=CA&ssl_cert_reqs=CERT_REQUIRED", 8, "default"),
        (f"valkeys://{LOGIN}127.0.0.1:TLS/8?ssl_ca_certs=CA&ssl_cert_reqs=required", 8, USER),
        (
            "rediss://127.0.0.1:TLS/8?ssl_ca_certs=CA&ssl_certfile=CA&ssl_keyfile=CA&ssl_cert_reqs=optional",
            8,
            "default",
        ),
        ("rediss://127.0.0.1:TLS/8?ssl_ca_certs=CA&ssl_cert_reqs=CERT_OPTIONAL&ssl_min_version=TLSv1_2", 8, "default"),
        ("rediss://localhost:TLS/9?ssl_ca_certs=CA&ssl_check_hostname=false", 9, "default"),
        ("rediss://127.0.0.1:TLS/9?ssl_cert_reqs=none", 9, "default"),
        ("rediss://127.0.0.1:TLS/9?ssl_cert_reqs=CERT_NONE&ssl_check_hostname=True", 9, "default"),
    ],
)
def test_store_and_celery_reach_the_same_database_as_the_same_user(
    places: Places, url: str, database: int, user: str, is_stores: bool
) -> None:
    section, name = ("hybrid_executor", "redis_url") if is_stores else ("celery", "broker_url")
    sections = {section: {name: places.fill(url)}}
    expected = Reached(places.server.client.info("server")["run_id"], database, user)
    assert reached_by_store(sections) == expected
    assert reached_by_celery(sections) == expected


@pytest.mark.parametrize(
    ("sections", "database", "user"),
    [
        ({"hybrid_executor": {"redis_url": "redis://127.0.0.1:PORT", "redis_options": '{"db": 3}'}}, 3, "default"),
        (
            {
                "hybrid_executor": {
                    "redis_url": "redis://127.0.0.1:PORT/1",
                    "redis_options": f'{{"username": "{USER}", "password": "{USERS_PASSWORD}", "protocol": 2}}',
                }
            },
            1,
            USER,
        ),
        (
            {
                "hybrid_executor": {
                    "redis_url": "rediss://127.0.0.1:TLS/1",
                    "redis_options": '{"ssl_ca_certs": "FILE", "ssl_cert_reqs": "CERT_REQUIRED"}',
                }
            },
            1,
            "default",
        ),
        (
            {"celery": {"broker_url": "redis://127.0.0.1:TLS/1", "ssl_active": "True", "ssl_cacert": "FILE"}},
            1,
            "default",
        ),
    ],
    ids=["db", "user and password", "TLS of redis_options", "TLS of [celery]"],
)
def test_so_they_do_with_options_beside_the_url(places: Places, sections: Sections, database: int, user: str) -> None:
    filled = {
        section: {name: places.fill(text).replace("FILE", str(places.certificate)) for name, text in options.items()}
        for section, options in sections.items()
    }
    expected = Reached(places.server.client.info("server")["run_id"], database, user)
    assert reached_by_store(filled) == expected
    assert reached_by_celery(filled) == expected


@pytest.mark.parametrize("url", ["rediss://127.0.0.1:TLS/0", "rediss://localhost:TLS/0?ssl_ca_certs=CA"])
def test_neither_trusts_a_certificate_that_it_cannot_check(places: Places, url: str) -> None:
    sections = {"celery": {"broker_url": places.fill(url)}}
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        reached_by_store(sections)
    with pytest.raises(OperationalError, match="certificate verify failed"):
        reached_by_celery(sections)


@pytest.mark.parametrize(
    "url", ["sentinel://127.0.0.1:PORT;sentinel://:PASSWORD@127.0.0.1:PORT/3", "sentinel://:PASSWORD@127.0.0.1:PORT/3"]
)
@pytest.mark.parametrize("is_stores", [True, False], ids=["redis_url", "broker_url"])
def test_sentinels_lead_both_to_the_same_database(watched: Watched, url: str, is_stores: bool) -> None:
    written = url.replace("PASSWORD", PASSWORD).replace("PORT", str(watched.sentinel.port))
    kwargs = f'{{"password": "{SENTINEL_PASSWORD}"}}'
    sections: Sections = {
        "celery": {"broker_url": written},
        "celery_broker_transport_options": {"master_name": MASTER, "sentinel_kwargs": kwargs},
    }
    if is_stores:
        options = f'{{"master_name": "{MASTER}", "sentinel_kwargs": {kwargs}}}'
        sections = {"hybrid_executor": {"redis_url": written, "redis_options": options}}
    expected = Reached(watched.master.client.info("server")["run_id"], 3, "default")
    assert reached_by_store(sections) == expected
    assert reached_by_celery(sections) == expected


def _stats(url: str) -> str:
    """Return what ``celery inspect stats`` shows of the only worker."""
    settings = read_celery_settings(DictConfig({"celery": {"broker_url": url}}))
    with Celery("test", set_as_current=False) as app:
        app.config_from_object(build_celery_config(settings, default_queue="default"))
        found = wait_until(lambda: app.control.inspect(timeout=5).stats(), seconds=40, what="the worker answers")
    return str(found)


def test_a_list_of_sentinels_is_described_without_its_password() -> None:
    url = "sentinel://:swordfish@a:1;sentinel://:swordfish@b:1/2"
    conf = {
        "celery": {"broker_url": url},
        "celery_broker_transport_options": {"master_name": "m", "sentinel_kwargs": '{"password": "swordfish"}'},
    }
    connection = create_worker_app(read_deployment(DictConfig(conf))).connection_for_read()
    described = dict(connection.info())
    assert described.pop("password") == "swordfish"  # Celery takes this one out
    assert "sentinel://:**@b:1/2" in described["alternates"]
    assert "swordfish" not in str(described) + repr(connection) + connection.as_uri()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    servers = Watched(tmp_path_factory.mktemp("sentinel"))
    yield servers
    servers.kill()


def test_a_database_that_the_server_does_not_have_is_named(places: Places) -> None:
    with pytest.raises(ConfigError, match=r"redis_url .*names database 16, which does not exist on that Redis"):
        reached_by_store({"hybrid_executor": {"redis_url": places.fill("redis://127.0.0.1:PORT/16")}})


def test_a_worker_and_a_scheduler_meet_in_one_database_over_a_socket(places: Places, tmp_path: Path) -> None:
    url = places.fill(f"unix://{LOGIN}SOCKET?db=11")
    scheduler = Scheduler(url)
    worker = start_worker_process(url, "socket@test", tmp_path)
    try:
        wait_until(lambda: scheduler.worker_fields("socket@test"), seconds=60, what="the worker announces itself")
        [attempt] = scheduler.submit(scheduler.work())
        scheduler.wait_for(attempt, State.SUCCEEDED, seconds=40)
        told = _stats(url)
        assert "socket://" in told
        assert USERS_PASSWORD not in told
        assert quote(USERS_PASSWORD, safe="") not in told
        assert USERS_PASSWORD not in worker.output
        assert quote(USERS_PASSWORD, safe="") not in worker.output
    finally:
        worker.kill()
        scheduler.store.close()
