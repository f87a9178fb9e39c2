"""One container's runs: pull its image, resolve its environment, start it, and restart it according to its policy."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hybrid_executor.sandbox.containers import Container, ContainerStartError, Launch
from hybrid_executor.sandbox.environment import (
    ContainerConfigError,
    container_command,
    container_environment,
    plain_data,
    pod_environment,
)
from hybrid_executor.sandbox.node import is_image_reference
from hybrid_executor.sandbox.objects import CONFIG_MAPS, SECRETS, Object, name_of, namespace_of, timestamp
from hybrid_executor.sandbox.pod_status import ContainerRecord, running, terminated, waiting
from hybrid_executor.sandbox.services import NodeServices

CANNOT_START = 128
"""Exit code of a container whose command cannot be run, as container runtimes report it."""

MESSAGE_LIMIT_BYTES = 2048
"""How much of the log becomes the termination message where a container asks for that."""


@dataclass(frozen=True)
class RunSettings:
    """What the containers of one pod share.

    :ivar publish: reports the pod's status; called after each change of a record.
    """

    pod: Object
    services: NodeServices
    directory: Path
    publish: Callable[[], None]


class ContainerRun:
    """One container of one pod.

    :ivar record: what the pod's status shows.
    :ivar exit_code: of the current run; None while it runs.
    :ivar has_started: set once it has run.
    :ivar is_ending: the pod is ending, so the container must not be restarted.
    :ivar log: the file that the current run prints to.
    """

    def __init__(
        self, settings: RunSettings, container: Object, *, is_init: bool, waits_for: str = "PodInitializing"
    ) -> None:
        self._settings = settings
        self._container = container
        self.record = ContainerRecord(
            name=container["name"],
            image=container["image"],
            is_init=is_init,
            is_sidecar=is_init and container.get("restartPolicy") == "Always",
            state=waiting(waits_for),
        )
        self.exit_code: asyncio.Future[int] | None = None
        self.has_started = asyncio.Event()
        self.is_ending = False
        self._process: Container | None = None
        self._is_out_of_memory = False
        self._input_has_ended = True
        self.log = Path()

    async def run_to_end(self, policy: str) -> int:
        """Run the container until its restart policy allows no further run; return its last exit code."""
        pause = self._settings.services.node.restart_backoff_seconds
        while True:
            await self._pull()
            code = await self._run_once()
            if self.is_ending or policy == "Never" or (policy == "OnFailure" and code == 0):
                return code
            await self._back_off(pause)
            pause = min(2 * pause, self._settings.services.node.maximum_backoff_seconds)

    def signal(self, number: int) -> None:
        """Send a signal to the container's main process; nothing happens if it does not run."""
        if self._process is not None and self.record.is_running:
            self._process.signal(number)

    @property
    def was_attached(self) -> bool:
        """Whether its standard input, which only one attachment may use (``stdinOnce``), has been used."""
        return self._input_has_ended and bool(self._container.get("stdinOnce"))

    def write(self, data: bytes) -> None:
        """Write to the container's standard input; nothing happens if it has none, or if that has ended."""
        if self._process is not None and not self._input_has_ended:
            self._process.write(data)

    def end_input(self, *, if_once: bool = False) -> None:
        """End the container's standard input.

        :param if_once: only where one attachment may use it.
        """
        if self._process is None or self._input_has_ended or (if_once and not self._container.get("stdinOnce")):
            return
        self._input_has_ended = True
        self._process.end_input()

    def kill_for_memory(self) -> None:
        """End the container as the kernel's out-of-memory killer does."""
        self._is_out_of_memory = True
        self.signal(signal.SIGKILL)

    def note_exit(self) -> None:
        """Note that the process has ended, if it has; may be called again."""
        if self.exit_code is None or not self.exit_code.done() or not self.record.is_running:
            return
        code = self.exit_code.result()
        reason = "OOMKilled" if self._is_out_of_memory and code == 128 + signal.SIGKILL else ""
        self._is_out_of_memory = False
        self._show(
            terminated(
                code,
                started_at=self.record.state["running"]["startedAt"],
                container_id=self.record.container_id,
                reason=reason,
                message=self._termination_message(code),
            )
        )

    async def _pull(self) -> None:
        """Wait for the image: not at all if it can be pulled, for ever for an invalid name or a missing image."""
        image, node = self.record.image, self._settings.services.node
        if not is_image_reference(image):
            problem = f'couldn\'t parse image name "{image}": invalid reference format'
            self._warn("InspectFailed", f'Failed to apply default image tag "{image}": {problem}')
            self._show(waiting("InvalidImageName", f'Failed to apply default image tag "{image}": {problem}'))
            await asyncio.Event().wait()
        pause = node.pull_backoff_seconds
        while problem := node.pull_error(image):
            if self._container.get("imagePullPolicy") == "Never":
                problem = f'Container image "{image}" is not present with pull policy of Never'
                self._warn("ErrImageNeverPull", problem)
                self._show(waiting("ErrImageNeverPull", problem))
                await asyncio.Event().wait()
            self._warn("Failed", f'Failed to pull image "{image}": {problem}')
            self._show(waiting("ErrImagePull", problem))
            await asyncio.sleep(node.pull_backoff_seconds)
            self._show(waiting("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {problem}'))
            await asyncio.sleep(pause)
            pause = min(2 * pause, node.maximum_backoff_seconds)

    async def _run_once(self) -> int:
        environment = await self._environment()
        command = container_command(self._container, environment)
        started_at = timestamp()
        services, uid = self._settings.services, self._settings.pod["metadata"]["uid"]
        self.record.container_id = f"sandbox://{uid}/{self.record.name}/{self.record.restarts}"
        if not command:
            self._show(terminated(0, started_at=started_at, container_id=self.record.container_id))
            return 0
        self.log = services.logs.path_of(uid, self.record.name, self.record.restarts)
        has_input = bool(self._container.get("stdin"))
        self._input_has_ended = not has_input
        launch = Launch(self.record.container_id, command, environment, self._directory(), self.log, has_input)
        try:
            self._process = await services.containers.run(launch)
        except ContainerStartError as error:
            return self._could_not_start(command[0], error)
        self.exit_code = self._process.exit_code
        self._show(running(started_at))
        self.has_started.set()
        await asyncio.shield(self.exit_code)
        self.note_exit()
        return self.record.exit_code or 0

    async def _environment(self) -> Mapping[str, str]:
        """Return the container's environment, waiting for what it refers to."""
        services, pod = self._settings.services, self._settings.pod
        current = {**pod, "status": {"podIP": services.node.ip, "hostIP": services.node.ip}}
        base = pod_environment(services.node.image_environment, pod)
        while True:
            try:
                return container_environment(base, self._container, current, self._lookup)
            except ContainerConfigError as error:
                self._warn("Failed", f"Error: {error}")
                self._show(waiting("CreateContainerConfigError", str(error)))
                await asyncio.sleep(services.node.pull_backoff_seconds)

    def _lookup(self, kind: str, name: str) -> Mapping[str, str] | None:
        resource = SECRETS if kind == "secret" else CONFIG_MAPS
        namespace = namespace_of(self._settings.pod)
        stored = self._settings.services.cluster.find(resource, namespace, name)
        return None if stored is None else plain_data(stored, is_secret=resource is SECRETS)

    def _directory(self) -> Path:
        """Return where the container starts: its workingDir if there is one here, else the pod's own directory."""
        wanted = self._container.get("workingDir")
        return Path(wanted) if wanted and Path(wanted).is_dir() else self._settings.directory

    def _could_not_start(self, word: str, error: ContainerStartError) -> int:
        message = (
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
            f'unable to start container process: exec: "{word}": {error}'
        )
        self._warn("Failed", f"Error: {message}")
        self._show(
            terminated(
                CANNOT_START,
                started_at="1970-01-01T00:00:00Z",
                container_id=self.record.container_id,
                reason="StartError",
                message=message,
            )
        )
        return CANNOT_START

    async def _back_off(self, pause_seconds: float) -> None:
        pod, name = self._settings.pod, self.record.name
        message = (
            f"back-off {pause_seconds:g}s restarting failed container={name} "
            f"pod={name_of(pod)}_{namespace_of(pod)}({pod['metadata']['uid']})"
        )
        self._warn("BackOff", f"Back-off restarting failed container {name} in pod {name_of(pod)}")
        self.record.last_state = self.record.state
        self._show(waiting("CrashLoopBackOff", message))
        await asyncio.sleep(pause_seconds)
        self.record.restarts += 1

    def _termination_message(self, code: int) -> str:
        if code == 0 or self._container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return ""
        return self.log.read_bytes()[-MESSAGE_LIMIT_BYTES:].decode(errors="replace")

    def _show(self, state: Object) -> None:
        self.record.state = state
        self._settings.publish()

    def _warn(self, reason: str, message: str) -> None:
        self._settings.services.events.write(self._settings.pod, reason, message, kind="Warning")
