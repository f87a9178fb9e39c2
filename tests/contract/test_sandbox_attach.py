"""Attaching to containers: the sandbox sends the frames of a real API server, and our client understands them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KubeError, KubeUnavailable
from hybrid_executor.kube.attach import Answer
from hybrid_executor.kube.client import KubeClient, connect
from tests.contract.sandbox_client import SandboxClient, until
from tests.faulty_sandbox import FaultySandbox

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "kube_recordings" / "kubelet.json").read_text())[
    "attach"
]
ATTACH = "/api/v1/namespaces/default/pods/{}/attach?container=base&stdin=true&stdout=true&stderr=true"
TAKES_A_LINE = 'echo ready; read line; echo "accepted $line"; sleep 0.3; echo done'
ONCE = {"stdin": True, "stdinOnce": True}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[FaultySandbox]:
    with FaultySandbox() as server:
        yield server


@pytest.fixture
def pods(sandbox: FaultySandbox) -> Iterator[SandboxClient]:
    client = SandboxClient(sandbox)
    yield client
    sandbox.faults.clear()
    client.http.delete("/api/v1/namespaces/default/pods", params={"gracePeriodSeconds": 0})
    until(lambda: client.get("/api/v1/namespaces/default/pods")["items"] == [])
    client.close()


@pytest.fixture
def kube(sandbox: FaultySandbox, tmp_path: Path) -> Iterator[KubeClient]:
    sandbox.write_kubeconfig(tmp_path / "kubeconfig")
    client = connect(KubernetesSettings(in_cluster=False, config_file=str(tmp_path / "kubeconfig")))
    yield client
    client.close()


def run(pods: SandboxClient, name: str, script: str = TAKES_A_LINE, **container: Any) -> None:
    """Run a pod, and wait until it has printed something."""
    base = {"name": "base", "image": "x:1", "command": ["sh", "-c", script], **(container or ONCE)}
    pods.create(name, containers=[base], terminationGracePeriodSeconds=0)
    pods.wait(name, lambda pod: pod["status"]["phase"] == "Running")
    until(lambda: "ready" in pods.log(name))


def recorded(which: int) -> tuple[str, bytes, list[dict[str, Any]]]:
    """Return subprotocol, what was sent, and the frames of one recorded attachment."""
    starts = [index for index, item in enumerate(RECORDED) if "attach" in item] + [len(RECORDED)]
    head, *frames = RECORDED[starts[which] : starts[which + 1]]
    return head["subprotocol"], bytes.fromhex(head["sent_hex"]), frames


def attach(
    sandbox: FaultySandbox, name: str, subprotocol: str, sent: bytes, *, seconds: float = 60
) -> list[tuple[int, bytes]]:
    """Attach, send a frame, and return all frames that come until it is closed or silent, as opcode and bytes."""
    socket = websocket.create_connection(
        sandbox.url.replace("http", "ws") + ATTACH.format(name),
        header=[f"Authorization: Bearer {sandbox.token}"],
        subprotocols=[subprotocol],
        timeout=seconds,
    )
    assert socket.subprotocol == subprotocol
    socket.send_binary(sent)
    frames: list[tuple[int, bytes]] = []
    while not frames or frames[-1][0] != websocket.ABNF.OPCODE_CLOSE:
        try:
            opcode, frame = socket.recv_data_frame(True)
        except websocket.WebSocketTimeoutException:
            break
        frames.append((opcode, frame.data))
    socket.shutdown()
    return frames


def comparable(frames: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Return frames without the container's id; it differs from run to run."""
    return [(opcode, re.sub(rb"task [\w:.-]+ not found", b"task <id> not found", data)) for opcode, data in frames]


def as_recorded(frames: list[dict[str, Any]]) -> list[tuple[int, bytes]]:
    return comparable([(frame["opcode"], bytes.fromhex(frame["hex"])) for frame in frames])


def test_the_first_attachment_sees_the_frames_of_a_real_server(pods: SandboxClient, sandbox: FaultySandbox) -> None:
    subprotocol, sent, frames = recorded(0)
    run(pods, "first")
    assert comparable(attach(sandbox, "first", subprotocol, sent)) == as_recorded(frames)


def test_a_second_attachment_gets_nothing_once_standard_input_was_used(
    pods: SandboxClient, sandbox: FaultySandbox
) -> None:
    subprotocol, sent, frames = recorded(1)
    run(pods, "second", 'echo ready; read line; echo "accepted $line"; sleep 1000')
    socket = websocket.create_connection(
        sandbox.url.replace("http", "ws") + ATTACH.format("second"),
        header=[f"Authorization: Bearer {sandbox.token}"],
        subprotocols=[subprotocol],
    )
    socket.send_binary(b"\0attempt-1\n")
    until(lambda: "accepted attempt-1" in pods.log("second"))
    socket.shutdown()
    # One that comes before the server has noticed the end of the first is attached, and hears nothing.
    until(lambda: len(attach(sandbox, "second", subprotocol, sent, seconds=2)) == len(frames))
    assert comparable(attach(sandbox, "second", subprotocol, sent)) == as_recorded(frames)
    assert "attempt-2" not in pods.log("second")


def test_an_attachment_to_an_ended_container_fails_as_on_a_real_server(
    pods: SandboxClient, sandbox: FaultySandbox
) -> None:
    subprotocol, sent, frames = recorded(2)
    run(pods, "third", "echo ready")
    pods.wait_for_phase("third", "Succeeded")
    assert comparable(attach(sandbox, "third", subprotocol, sent)) == as_recorded(frames)


def test_a_container_whose_only_attachment_breaks_reads_the_end_of_its_input(
    pods: SandboxClient, sandbox: FaultySandbox
) -> None:
    run(pods, "broken", "echo ready; read line || echo ended; sleep 1000")
    socket = websocket.create_connection(
        sandbox.url.replace("http", "ws") + ATTACH.format("broken"),
        header=[f"Authorization: Bearer {sandbox.token}"],
        subprotocols=["v5.channel.k8s.io"],
    )
    assert socket.recv_data()[1] == b"\x01"
    sandbox.faults.cut_attachments()
    until(lambda: "ended" in pods.log("broken"))
    socket.shutdown()


def test_the_end_of_input_can_be_sent_since_version_5(pods: SandboxClient, sandbox: FaultySandbox) -> None:
    run(pods, "eof", "echo ready; read line || echo ended")
    frames = attach(sandbox, "eof", "v5.channel.k8s.io", b"\xff\0")
    assert (websocket.ABNF.OPCODE_BINARY, b"\x01ended\n") in frames


def test_a_long_line_reaches_a_container_that_reads_late(pods: SandboxClient, kube: KubeClient) -> None:
    run(pods, "late", 'echo ready; sleep 0.5; read line; echo "length ${#line}"')
    line = "x" * 500_000
    answer = kube.write_line(
        "default", "late", container="base", line=line, is_answer=lambda text: text == "length 500000", seconds=60
    )
    assert answer.has_come


def accepts(attempt: str) -> Any:
    return lambda line: line == f"accepted {attempt}"


def test_the_client_returns_as_soon_as_the_answer_has_come(pods: SandboxClient, kube: KubeClient) -> None:
    run(pods, "answers", 'echo ready; read line; echo "accepted $line"; sleep 1000')
    answer = kube.write_line("default", "answers", container="base", line="a", is_answer=accepts("a"), seconds=60)
    assert answer == Answer("accepted a\n", has_come=True)
    assert pods.pod("answers")["status"]["phase"] == "Running"


def test_another_answer_is_none(pods: SandboxClient, kube: KubeClient) -> None:
    run(pods, "other", "echo ready; read line; echo refused")
    answer = kube.write_line("default", "other", container="base", line="a", is_answer=accepts("a"), seconds=60)
    assert (answer.has_come, answer.output) == (False, "refused\n")
    assert answer.trouble == "attach to pod default/other: the attachment ended: Success"


def test_a_lost_answer_is_no_error_because_the_line_may_have_been_read(
    pods: SandboxClient, kube: KubeClient, sandbox: FaultySandbox
) -> None:
    run(pods, "lost", 'echo ready; read line; echo "accepted $line"; sleep 1000')
    sandbox.faults.lose_reply(path="/attach")
    answer = kube.write_line("default", "lost", container="base", line="a", is_answer=accepts("a"), seconds=60)
    assert not answer.has_come
    assert answer.trouble.startswith("attach to pod default/lost: ")
    until(lambda: "accepted a" in pods.log("lost"))


def test_a_container_that_does_not_answer_is_waited_for_no_longer_than_asked(
    pods: SandboxClient, kube: KubeClient
) -> None:
    run(pods, "silent", "echo ready; sleep 1000")
    answer = kube.write_line("default", "silent", container="base", line="a", is_answer=accepts("a"), seconds=0.2)
    assert not answer.has_come


@pytest.mark.parametrize("verb", ["get", "create"])
def test_both_rights_are_needed(pods: SandboxClient, kube: KubeClient, sandbox: FaultySandbox, verb: str) -> None:
    run(pods, "denied")
    sandbox.faults.deny(verb, "pods/attach")
    with pytest.raises(KubeError, match=rf'cannot {verb} resource "pods/attach"') as caught:
        kube.write_line("default", "denied", container="base", line="a", is_answer=accepts("a"), seconds=5)
    assert caught.value.status == 403


def test_a_pod_that_does_not_exist_is_an_error_before_anything_is_written(kube: KubeClient) -> None:
    with pytest.raises(KubeError) as caught:
        kube.write_line("default", "nobody", container="base", line="a", is_answer=accepts("a"), seconds=5)
    assert caught.value.status == 404


def test_a_server_that_does_not_answer_is_unavailable(
    pods: SandboxClient, kube: KubeClient, sandbox: FaultySandbox
) -> None:
    run(pods, "cut")
    sandbox.faults.drop(path="/attach")
    with pytest.raises(KubeUnavailable):
        kube.write_line("default", "cut", container="base", line="secret", is_answer=accepts("a"), seconds=5)


def test_an_attachment_without_upgrade_is_refused(pods: SandboxClient) -> None:
    run(pods, "plain")
    refused = pods.http.get("/api/v1/namespaces/default/pods/plain/attach", params={"stdin": "true"})
    assert (refused.status_code, refused.json()["message"]) == (400, "Upgrade request required")


def test_stopping_the_sandbox_ends_attachments(tmp_path: Path) -> None:
    with FaultySandbox() as server:
        pods = SandboxClient(server)
        run(pods, "held", "echo ready; sleep 1000")
        server.write_kubeconfig(tmp_path / "kubeconfig")
        kube = connect(KubernetesSettings(in_cluster=False, config_file=str(tmp_path / "kubeconfig")))
        answers: list[Answer] = []
        thread = threading.Thread(
            target=lambda: answers.append(
                kube.write_line("default", "held", container="base", line="a", is_answer=accepts("a"), seconds=60)
            )
        )
        thread.start()
        until(lambda: server.call(lambda: len(server.faults.parts.connections._attached)))  # noqa: SLF001
        pods.close()
    thread.join()
    kube.close()
    assert not answers[0].has_come
