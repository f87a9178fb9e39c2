"""A real StatsD server for tests, as far as it goes: it takes UDP packets and remembers what they say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from hybrid_executor.metrics import METRICS

PREFIX = "airflow."


@dataclass(frozen=True)
class Sample:
    """One value.

    :ivar kind: c for a counter, g for a gauge, ms for a timer.
    """

    name: str
    value: float
    kind: str
    tags: Mapping[str, str]


class StatsdListener:
    """Listens on a free port of 127.0.0.1 for as long as the context is open."""

    def __enter__(self) -> StatsdListener:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._listen, name="statsd-listener", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def options(self, *, has_tags: bool = True) -> dict[str, str]:
        """Return the options of ``[metrics]`` that lead here, as ``section__option``."""
        return {
            "metrics__statsd_on": "True",
            "metrics__statsd_host": "127.0.0.1",
            "metrics__statsd_port": str(self.port),
            "metrics__statsd_influxdb_enabled": str(has_tags),
        }

    def environment(self, *, has_tags: bool = True) -> dict[str, str]:
        """Return the same as environment variables."""
        return {f"AIRFLOW__{name.upper()}": value for name, value in self.options(has_tags=has_tags).items()}

    @property
    def samples(self) -> list[Sample]:
        """What has come of ours, in its order."""
        return [_read(line) for line in list(self._lines) if line.startswith(f"{PREFIX}hybrid_executor.")]

    def names(self) -> set[str]:
        """Return the names of ours that have come, without the prefix."""
        return {sample.name for sample in self.samples}

    def total(self, name: str, **tags: str) -> float:
        """Return the sum of a counter's values with these tags."""
        return sum(sample.value for sample in self.of(name, **tags))

    def last(self, name: str, **tags: str) -> float | None:
        """Return a gauge's last value with these tags, ``None`` where there was none."""
        return next((sample.value for sample in reversed(self.of(name, **tags))), None)

    def of(self, name: str, **tags: str) -> list[Sample]:
        """Return the samples of a name with at least these tags."""
        return [s for s in self.samples if s.name == f"hybrid_executor.{name}" and tags.items() <= s.tags.items()]

    def of_airflow(self, name: str, *, lines: int) -> list[float]:
        """Return the values of one of Airflow's own metrics among the last lines that have come."""
        wanted = f"{PREFIX}{name}"
        last = [line for line in self._lines[-lines:] if line.startswith((f"{wanted},", f"{wanted}:"))]
        return [_read(line).value for line in last]

    def _listen(self) -> None:
        while data := self._socket.recv(65536):
            self._lines += data.decode().splitlines()


def _read(line: str) -> Sample:
    named, _, rest = line.partition(":")
    value, kind = rest.split("|")[:2]
    name, *tags = named.removeprefix(PREFIX).split(",")
    return Sample(name, float(value), kind, dict(tag.split("=", 1) for tag in tags))


KINDS = {"counter": "c", "gauge": "g", "timer": "ms"}


def check_against_the_table(samples: list[Sample]) -> None:
    """Fail where something was sent that the table does not have, or not so."""
    known = {metric.name: metric for metric in METRICS}
    for sample in samples:
        metric = known[sample.name]
        assert sample.kind == KINDS[metric.kind], sample
        assert tuple(sample.tags) == metric.tags, sample
        assert all(sample.tags.values()), sample


def names_of(*roles: str) -> set[str]:
    """Return the names of the metrics that processes of these roles send."""
    return {metric.name for metric in METRICS if metric.by in roles}
