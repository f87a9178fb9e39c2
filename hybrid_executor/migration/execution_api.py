"""Where tasks reach Airflow's API server and how it recognises them: new in Airflow 3. Pure."""

from __future__ import annotations

from hybrid_executor.migration.configuration import Configuration
from hybrid_executor.migration.finding import Finding

VARIABLE = "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"
_OPTION = ("core", "execution_api_server_url")
_SUBJECT = "[core] execution_api_server_url"


def check_token_secret(configuration: Configuration) -> list[Finding]:
    """Return a finding if the secret is missing with which the API server recognises tasks. Airflow 2 has no such one.

    A deployment of Airflow 3 works already, so its secret may be somewhere that is not read here.
    """
    if any(configuration.place_of("api_auth", name) for name in ("jwt_secret", "jwt_private_key_path")):
        return []
    is_new = any(section in configuration.sections() for section in ("api_auth", "execution_api", "dag_processor"))
    is_new = is_new or bool(configuration.place_of(*_OPTION))
    return [
        Finding(
            kind="check" if is_new else "change",
            subject="[api_auth] jwt_secret",
            what="not set: each process makes its own, and the API server refuses every task with 403",
            instead="set it to the same text on scheduler, API server and workers: openssl rand -hex 32",
            why="tasks of Airflow 3 show the API server a token that the scheduler has signed",
            documented="docs/migration.md#the-address-of-the-api-server",
        )
    ]


def has_address(configuration: Configuration) -> bool:
    """Return whether tasks get an address other than that of their own machine."""
    places = (_OPTION, ("workers", "execution_api_server_url"), ("api", "base_url"), ("webserver", "base_url"))
    return any(configuration.place_of(*place) and not _is_local(configuration.get(*place)) for place in places)


def _is_local(url: str | None) -> bool:
    return url is not None and any(host in url for host in ("//localhost", "//127.0.0.1"))


def set_address(configuration: Configuration, url: str | None) -> tuple[Configuration, list[Finding]]:
    """Return the configuration with the address, if it is known and none is set.

    :param url: the address to use; ``None`` if it is not known.
    """
    if configuration.place_of(*_OPTION):
        return configuration, []
    why = "tasks of Airflow 3 talk to the API server and not to the database"
    documented = "docs/migration.md#the-address-of-the-api-server"
    if url:
        words = "not set, so tasks would ask localhost"
        return configuration.set(*_OPTION, url), [
            Finding(kind="change", subject=_SUBJECT, what=words, instead=f"{url}", why=why, documented=documented)
        ]
    if has_address(configuration):
        return configuration, []
    return configuration, [
        Finding(
            kind="check",
            subject=_SUBJECT,
            what="not set: workers and pods would look for the API server on their own machine",
            instead="set it on workers and in pods, for example to http://API-SERVER:8080/execution/ (--api-url URL "
            "writes it), unless everything runs on one machine",
            why=why,
            documented=documented,
        )
    ]
