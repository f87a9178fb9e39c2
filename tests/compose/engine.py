"""The Docker engine, both generations of Compose, and the images that docker-compose.yml pulls."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMMANDS = {"docker compose": ("docker", "compose"), "docker-compose": ("docker-compose",)}
_ANSWER_SECONDS = 60.0
_LABEL = "com.docker.compose"


def why_no_engine() -> str:
    """Return why there is no engine to use, "" if there is one."""
    if shutil.which("docker") is None:
        return "needs a Docker engine, and the command docker is not installed (Debian: apt-get install docker.io)"
    asked = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True)
    if asked.returncode != 0:
        return f"needs a Docker engine, and none answers ({asked.stderr.strip()}): see tests/compose/README.md"
    return ""


def has_compose(name: str) -> bool:
    """Return whether a generation of Compose is installed."""
    command = COMMANDS[name]
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run([*command, "version"], capture_output=True).returncode == 0


def docker(*words: str, seconds: float = _ANSWER_SECONDS) -> str:
    """Run ``docker ...`` and return what it prints."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


def provide_images() -> None:
    """Pull the images that docker-compose.yml and the Dockerfile name, or make stand-ins where no registry answers."""
    compose = (ROOT / "docker-compose.yml").read_text()
    wanted = [*re.findall(r"^ +image: ([\w/]+:\w+)$", compose, re.MULTILINE)]
    wanted += re.findall(r"^ARG AIRFLOW_IMAGE=(\S+)$", (ROOT / "workers" / "Dockerfile").read_text(), re.MULTILINE)
    missing = [image for image in wanted if not _is_here(image)]
    if all(subprocess.run(["docker", "pull", "--quiet", image], timeout=1200).returncode == 0 for image in missing):
        return
    with tempfile.TemporaryDirectory(prefix="hybrid-base-images-") as place:
        subprocess.run([str(ROOT / "tests" / "compose" / "base_images.sh"), place], check=True, timeout=1200)


def _is_here(image: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode == 0


@dataclass(frozen=True)
class Container:
    """One container as ``docker inspect`` shows it.

    :ivar health: "" if it has no health check.
    """

    id: str
    service: str
    hostname: str
    status: str
    health: str
    exit_code: int
    log_driver: str
    log_options: dict[str, str]

    @property
    def has_ended_well(self) -> bool:
        """Whether it has exited with 0."""
        return (self.status, self.exit_code) == ("exited", 0)

    def logs(self) -> str:
        """Return its output."""
        done = subprocess.run(["docker", "logs", self.id], capture_output=True, text=True, timeout=_ANSWER_SECONDS)
        return done.stdout + done.stderr

    def last_check(self) -> str:
        """Return what its last health check printed."""
        state = json.loads(docker("inspect", "--format", "{{json .State.Health}}", self.id)) or {}
        return str([check["Output"].strip()[-300:] for check in state.get("Log") or []][-1:])


class Project:
    """One deployment of docker-compose.yml with the profile ``sandbox``, apart from all others of the engine.

    :param command: a name of :data:`COMMANDS`.
    :param variables: a file with variables of docker-compose.yml, which is read instead of ``.env``.
    """

    def __init__(self, command: str, *, name: str, variables: Path) -> None:
        self.name = name
        self._words = [*COMMANDS[command], "--env-file", str(variables), "--profile", "sandbox"]
        self._environment = {**os.environ, "COMPOSE_PROJECT_NAME": name}

    def run(self, *words: str, seconds: float = _ANSWER_SECONDS) -> str:
        """Run a command of Compose to its end and return what it prints."""
        done = subprocess.run(
            [*self._words, *words], cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=seconds
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Begin a command of Compose."""
        return subprocess.Popen(
            [*self._words, *words],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def execute(self, service: str, *words: str) -> str:
        """Run a command in a container of a service and return what it prints."""
        return self.run("exec", "-T", service, *words)

    def containers(self, service: str = "") -> list[Container]:
        """Return the containers, also those that have ended."""
        ids = docker("ps", "--all", "--quiet", "--filter", f"label={_LABEL}.project={self.name}").split()
        described = json.loads(docker("inspect", *ids)) if ids else []
        return sorted(
            (found for one in described if (found := _read(one)).service == service or not service),
            key=lambda found: found.hostname,
        )

    def remains(self) -> list[str]:
        """Return the names of the containers, volumes and networks that exist."""
        label = f"label={_LABEL}.project={self.name}"
        return [
            *docker("ps", "--all", "--format", "{{.Names}}", "--filter", label).split(),
            *docker("volume", "ls", "--quiet", "--filter", label).split(),
            *docker("network", "ls", "--format", "{{.Name}}", "--filter", label).split(),
        ]


def _read(described: dict[str, Any]) -> Container:
    state, log = described["State"], described["HostConfig"]["LogConfig"]
    return Container(
        id=described["Id"],
        service=described["Config"]["Labels"][f"{_LABEL}.service"],
        hostname=described["Config"]["Hostname"],
        status=state["Status"],
        health=(state.get("Health") or {}).get("Status", ""),
        exit_code=int(state["ExitCode"]),
        log_driver=log["Type"],
        log_options=log["Config"] or {},
    )
