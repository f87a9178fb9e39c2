"""A RabbitMQ of a test's own, where Debian's ``rabbitmq-server`` or another one is installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.certificates import write_certificate
from tests.waiting import PATIENCE_SECONDS, wait_until


def find_server() -> str | None:
    """Return the program's path, ``None`` where it is not installed."""
    return shutil.which("rabbitmq-server") or shutil.which("rabbitmq-server", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class RabbitServer:
    """A node in a directory, without plugins and without a fixed port.

    :ivar certificate: what both sides show on the port for TLS.
    :ivar authority: who has signed it.
    """

    def __init__(self, directory: Path) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.authority = write_certificate(directory, "authority")
        self.certificate = write_certificate(directory, "rabbit", authority=self.authority)
        program = find_server()
        assert program is not None
        config = directory / "rabbitmq.conf"
        config.write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "loopback_users = none\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            "ssl_options.verify = verify_peer\n"
            "ssl_options.fail_if_no_peer_cert = true\n"
            f"ssl_options.cacertfile = {self.authority}\n"
            f"ssl_options.certfile = {self.certificate}\n"
            f"ssl_options.keyfile = {self.certificate}\n"
        )
        directory.joinpath("enabled_plugins").write_text("[].\n")
        cookie = directory / ".erlang.cookie"
        cookie.write_text("ONLYFORTHISTEST")
        cookie.chmod(0o400)
        self._log = directory / "output"
        environment = {
            **os.environ,
            "HOME": str(directory),
            "RABBITMQ_NODENAME": f"hybrid{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(config.with_suffix("")),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        # Debian's wrapper becomes another user and drops most of the environment; what it starts does not.
        packaged = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
        self._command = [str(packaged if packaged.exists() else program)]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._names: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self, *, seconds: float = 60) -> None:
        """Start and wait until it takes connections."""
        # Erlang's name server; the one that a node starts by itself outlives it.
        self._names = subprocess.Popen(["epmd"], env=self._environment)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._wait(lambda: self._answers(), seconds=seconds)

    def stop(self) -> None:
        """End it and what it started."""
        if self._process is not None:
            self.thaw()
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self._process.pid, number)
                    self._process.wait(PATIENCE_SECONDS)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
            self._process = None
        if self._names is not None:
            self._names.terminate()
            self._names.wait(PATIENCE_SECONDS)
            self._names = None

    def freeze(self) -> None:
        """Let it hang, with all of its connections open."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(connection.recv(1))
        except OSError:
            return False

    def _wait(self, happens: Callable[[], bool], *, seconds: float) -> None:
        wait_until(happens, seconds=seconds, what=self._log.read_text, every_seconds=0.1)
