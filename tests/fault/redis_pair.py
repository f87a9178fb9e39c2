"""A Valkey, and where a fail-over needs it, a replica that takes over. Clients come through links."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from hybrid_executor.standalone.ports import choose_port
from tests.fault.links import Link, Network
from tests.fault.parts import Part
from tests.redis_situations import programs
from tests.waiting import wait_until

# Microseconds for each key; it answers after each kilobyte.
_LOADS_SLOWLY = ("--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")


class RedisPair:
    """The primary, and the links that lead to it.

    :ivar port: the primary's own port, for the test itself.
    """

    def __init__(self, folder: Path, network: Network, logs: Path) -> None:
        self._folder = folder
        self._network = network
        self._logs = logs
        self._links: dict[str, Link] = {}
        self._count = 0
        self.port, self._data, self.primary = self._start()

    @property
    def url(self) -> str:
        """The primary's address without a link."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def links(self) -> list[Link]:
        """All links to the primary."""
        return list(self._links.values())

    def link(self, name: str) -> Link:
        """Return the link of a client; the same one for the same name."""
        if name not in self._links:
            self._links[name] = self._network.link(self.port)
        return self._links[name]

    def url_of(self, name: str) -> str:
        """Return the address at which a client reaches the primary through its link."""
        return f"redis://127.0.0.1:{self.link(name).port}/0"

    def client(self) -> redis.Redis:
        """Return a client of the primary; the caller closes it."""
        return redis.Redis(port=self.port, decode_responses=True, retry=Retry(NoBackoff(), 0))

    def restart(self, *, with_data: bool, down_seconds: float = 0.0) -> None:
        """Kill it, and start it again on the same port."""
        self.primary.kill()
        if not with_data:
            shutil.rmtree(self._data)
            self._data.mkdir()
        time.sleep(down_seconds)
        self.primary.start()
        self._wait(self.port)

    def restart_loading(self, seconds: float) -> None:
        """Kill it, and start it again with data that it loads for so long; it answers, and serves nothing meanwhile.

        :param seconds: up to 15.
        """
        slowly = {f"loads-slowly:{number}": os.urandom(1_500) for number in range(1_000)}
        with self.client() as client:
            client.mset(slowly)  # type: ignore[arg-type]
            client.bgrewriteaof()  # a file of commands would be read without answers to anybody
            wait_until(lambda: _is_rewritten(client), what="the data is in a file")
        self.primary.kill()
        command = self.primary.command
        self.primary.command = [*command, *_LOADS_SLOWLY]
        self.primary.start()
        self.primary.command = command
        with self.client() as client:
            wait_until(lambda: _is_loading(client), what="it loads its data")
            time.sleep(seconds)
            assert _is_loading(client), "it has loaded its data too soon"
            client.config_set("key-load-delay", 0)
        self._wait(self.port)
        with self.client() as client:
            client.delete(*slowly)

    def fail_over(self, *, lost_seconds: float) -> None:
        """Let a replica take over that lacks what was written in the last seconds; the primary is gone."""
        way = self._network.link(self.port)
        follows = ("--replicaof", f"127.0.0.1 {way.port}")
        port, data, replica = self._start(*follows)
        with redis.Redis(port=port, decode_responses=True) as client:
            wait_until(lambda: client.info("replication").get("master_link_status") == "up", what="it is a replica")
            with self.client() as primary:
                primary.wait(1, 5000)
            way.hold()
            time.sleep(lost_seconds)
            self.primary.kill()
            client.replicaof("NO", "ONE")
        replica.command = replica.command[: -len(follows)]  # it is the primary when it is started again
        self.port, self._data, self.primary = port, data, replica
        for link in self._links.values():
            link.lead_to(port)
        way.mend()
        way.cut()

    def stop(self) -> None:
        """End it."""
        self.primary.kill()

    def _start(self, *arguments: str) -> tuple[int, Path, Part]:
        self._count += 1
        port, data = choose_port(), self._folder / f"redis-{self._count}"
        data.mkdir(parents=True)
        command = [programs()["valkey"], "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data), "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", "everysec", "--repl-diskless-sync-delay", "0", *arguments]
        part = Part(f"redis-{self._count}", command, {}, self._logs)
        part.start()
        self._wait(port)
        return port, data, part

    def _wait(self, port: int) -> None:
        def answers() -> bool:
            with redis.Redis(port=port, retry=Retry(NoBackoff(), 0)) as client:
                try:
                    return bool(client.ping())
                except redis.RedisError:
                    return False

        wait_until(answers, what="Redis answers")


def _is_loading(client: redis.Redis) -> bool:
    try:
        return bool(client.info("persistence")["loading"])
    except redis.ConnectionError:
        return False


def _is_rewritten(client: redis.Redis) -> bool:
    found = client.info("persistence")
    return not found["aof_rewrite_in_progress"] and not found["aof_rewrite_scheduled"]
