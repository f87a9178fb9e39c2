"""Redis as deployments run it: with TLS, and with Sentinel. Where Debian's ``redis-server`` or another is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.integration.rabbitmq import free_port
from tests.waiting import PATIENCE_SECONDS

PASSWORD = "of-the-data"
SENTINEL_PASSWORD = "of-the-sentinel"
MASTER = "airflow-master"


def find_server() -> str | None:
    """Return the program that ``HYBRID_TEST_SERVER`` names or that is installed, ``None`` for neither."""
    return os.environ.get("HYBRID_TEST_SERVER") or shutil.which("redis-server")


class Server:
    """One process; dies with :meth:`kill` as a machine does.

    :param arguments: of ``redis-server``, besides the port.
    :param program: which server; that of :func:`find_server` by default.
    :param client: arguments of a client that may ask it.
    """

    def __init__(
        self, directory: Path, *arguments: str, port: int | None = None, program: str | None = None, **client: Any
    ) -> None:
        self.port = port or free_port()
        self.directory = directory
        self.username, self.password = client.get("username"), client.get("password")
        directory.mkdir(exist_ok=True)
        program = program or find_server()
        assert program is not None
        self.program = program
        self._log = directory / "output"
        self._command = [program, *arguments]
        if port is None:
            self._command += ["--port", str(self.port)]
        once = Retry(NoBackoff(), 0)
        self.client = redis.Redis(host="127.0.0.1", port=self.port, decode_responses=True, retry=once, **client)
        self._start()

    def kill(self) -> None:
        """End it at once."""
        self.client.close()
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(PATIENCE_SECONDS)

    def restart(self, *arguments: str) -> None:
        """Kill it, and start it again on the same port and with what it has saved.

        :param arguments: more of them, for this time.
        """
        self.kill()
        self._start(*arguments)

    def _start(self, *arguments: str) -> None:
        command = [*self._command, *arguments]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(command, cwd=self.directory, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"{self.program} does not answer: {self._log.read_text()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.BusyLoadingError:
            return True
        except redis.ConnectionError:
            return False


def start_with_tls(directory: Path, certificate: Path) -> Server:
    """Start a server that speaks TLS alone and lets in who shows the certificate."""
    file, port = str(certificate), free_port()
    tls = {"ssl": True, "ssl_ca_certs": file, "ssl_certfile": file, "ssl_keyfile": file}
    return Server(
        directory,
        *("--bind", "127.0.0.1", "--save", "", "--port", "0", "--tls-port", str(port), "--tls-auth-clients", "yes"),
        *("--tls-cert-file", file, "--tls-key-file", file, "--tls-ca-cert-file", file, "--requirepass", PASSWORD),
        port=port,
        password=PASSWORD,
        **tls,
    )


def start_cluster(directory: Path) -> Server:
    """Start a Redis Cluster of one node that serves all slots."""
    server = Server(directory, "--bind", "127.0.0.1", "--save", "", "--cluster-enabled", "yes")
    server.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
    return server


class Watched:
    """A master, its replica, and a Sentinel that makes the replica master soon after the master is gone."""

    def __init__(self, directory: Path) -> None:
        data = ("--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD, "--masterauth", PASSWORD)
        self.master = Server(directory / "master", *data, password=PASSWORD)
        follows = ("--replicaof", f"127.0.0.1 {self.master.port}", "--repl-diskless-sync-delay", "0")
        self.replica = Server(directory / "replica", *data, *follows, password=PASSWORD)
        config, port = directory / "sentinel.conf", free_port()
        config.write_text(
            f"port {port}\nbind 127.0.0.1\nrequirepass {SENTINEL_PASSWORD}\n"
            f"sentinel monitor {MASTER} 127.0.0.1 {self.master.port} 1\n"
            f"sentinel auth-pass {MASTER} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {MASTER} 500\n"
            f"sentinel failover-timeout {MASTER} 3000\n"
        )
        arguments = (str(config), "--sentinel")
        self.sentinel = Server(directory / "sentinel", *arguments, port=port, password=SENTINEL_PASSWORD)

    @property
    def url(self) -> str:
        return f"sentinel://:{PASSWORD}@127.0.0.1:{self.sentinel.port}/0"

    def is_replicated(self) -> bool:
        """Return whether Sentinel knows the replica, and the replica has all that the master has."""
        states: Any = self.sentinel.client.sentinel_slaves(MASTER)
        return bool(states) and not states[0]["is_sdown"] and bool(self.master.client.wait(1, 1000))

    def kill(self) -> None:
        """End all three."""
        for server in (self.sentinel, self.master, self.replica):
            server.kill()
