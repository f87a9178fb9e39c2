"""What a component announces of itself, so that components that do not belong together are seen.

Promises: no secret leaves the process. A fingerprint is the beginning (32 bits) of a slow keyed hash of a secret, and
differs for each instance: equal secrets have equal fingerprints, and a fingerprint leads back to no secret.
"""

from __future__ import annotations

import hashlib
import json
import logging
import socket
from collections.abc import Mapping
from importlib import metadata
from urllib.parse import urlsplit

from hybrid_executor.config.options import ConfigSource

log = logging.getLogger(__name__)

DISTRIBUTION = "airflow-hybrid-executor"
SHARED_SECRETS = (("core", "fernet_key"), ("api_auth", "jwt_secret"), ("api", "secret_key"))
"""Options that must be equal wherever they are set: the first decrypts connections, the second signs the tokens of
tasks, the third the requests for the logs of running tasks."""
DATABASE = ("database", "sql_alchemy_conn")

_ROUNDS = 20_000
_LENGTH = 8
_USUAL_PORTS = {"postgresql": 5432, "mysql": 3306}


def read_identity(conf: ConfigSource, *, instance: str) -> dict[str, str]:
    """Return the fields for an announcement: versions, and fingerprints of what a person has set here.

    ``secrets`` and ``database`` are left out where nothing is set. Reads options, and never fails because of them.
    """
    found = {"version": installed(DISTRIBUTION), "airflow": installed("apache-airflow-core")}
    secrets = read_fingerprints(conf, instance=instance)
    if secrets:
        found["secrets"] = json.dumps(secrets)
    if url := _given(conf, *DATABASE):
        found["database"] = fingerprint(place_of_database(url), name="database", instance=instance)
    return found


def read_fingerprints(conf: ConfigSource, *, instance: str) -> dict[str, str]:
    """Return the fingerprints of the shared secrets that are set here, by ``section.option``."""
    given = {f"{section}.{name}": _given(conf, section, name) for section, name in SHARED_SECRETS}
    return {name: fingerprint(text, name=name, instance=instance) for name, text in given.items() if text}


def fingerprint(text: str, *, name: str, instance: str) -> str:
    """Return the fingerprint of a text.

    :param name: what the text is; the same text has another fingerprint under another name.
    """
    salt = f"hybrid-executor/{instance}/{name}".encode()
    return hashlib.pbkdf2_hmac("sha256", text.encode(), salt, _ROUNDS).hex()[:_LENGTH]


def place_of_database(url: str) -> str:
    """Return which database a URL of SQLAlchemy's names: without driver, user, password and options."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "unreadable"
    kind = parts.scheme.partition("+")[0]
    kind = "postgresql" if kind == "postgres" else kind
    if kind == "sqlite":
        return f"sqlite:{socket.gethostname()}:{parts.path}"
    return f"{kind}:{(parts.hostname or '').lower()}:{port or _USUAL_PORTS.get(kind, 0)}:{parts.path}"


def read_secrets(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the fingerprints in an announcement; nothing where it has none that can be read."""
    try:
        found = json.loads(fields.get("secrets") or "{}")
    except ValueError:
        return {}
    return {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}


def installed(distribution: str) -> str:
    """Return the installed version of a distribution, "" where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _given(conf: ConfigSource, section: str, name: str) -> str:
    """Return an option that a person has set, "" where there is none or it cannot be read."""
    try:
        return str(conf.get(section, name, fallback="") or "") if conf.is_set(section, name) else ""
    except Exception as error:  # noqa: BLE001 - a failing command or secrets backend keeps no component from starting
        log.debug("[%s] %s cannot be read for the announcement: %s", section, name, type(error).__name__)
        return ""
