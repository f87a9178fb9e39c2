"""Agents that are drained: they launch nothing, hand over what waits and what they watch, and can be told to go on."""

from __future__ import annotations

import time
from argparse import Namespace

import pytest

from hybrid_executor.agent import vitals
from hybrid_executor.agent.probe import probe
from hybrid_executor.cli import agents_command
from hybrid_executor.errors import ConfigError
from hybrid_executor.operations.agents import (
    await_idle_agents,
    choose_agents,
    clusters_without_agent,
    drain_agents,
    resume_agents,
)
from hybrid_executor.states import State
from hybrid_executor.store import Order
from tests.integration.agent.conftest import World
from tests.waiting import wait_until


def _state(world: World, name: str) -> str:
    return world.store.presence.fields("agent", name).get("state", "")


def test_a_drained_agent_launches_nothing_watches_on_and_launches_what_waited_when_it_is_told_to(world: World) -> None:
    world.start_agent("only")
    [running] = world.submit("sleep 3600")
    world.wait_for(State.RUNNING, [running])
    wait_until(lambda: _state(world, "only") == "running", what="the agent to announce itself")
    [done] = drain_agents(world.store, choose_agents(world.store))
    assert done.is_done
    assert clusters_without_agent(world.store) == ["default"]
    [waiting] = world.submit()
    [done] = await_idle_agents(world.store, choose_agents(world.store), seconds=60)
    assert done.words == "drained, 0 launches under way, watches default:default, reaper"

    [pod] = world.pods()
    world.kube.delete_pod("default", pod["metadata"]["name"], uid=None)
    world.wait_for(State.FAILED, [running])  # it still watches
    assert world.record(waiting).state is State.SUBMITTED

    assert [d.is_done for d in drain_agents(world.store, choose_agents(world.store))] == [True], "it may be repeated"
    [done] = resume_agents(world.store, choose_agents(world.store))
    assert done.words.startswith("running,")
    world.wait_for(State.SUCCEEDED, [waiting])


def test_what_waits_in_a_drained_agent_and_what_it_watches_go_to_another_agent(world: World) -> None:
    first = world.start_agent("first")
    gate = world.directory / "go"
    [running] = world.submit(f"while [ ! -e {gate} ]; do sleep 0.1; done")
    world.wait_for(State.RUNNING, [running])
    quotas = "/api/v1/namespaces/default/resourcequotas"
    quota = {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}}
    world.kube.transport.call("POST", quotas, doing="create quota", body=quota)
    waiting = world.submit(count=5)
    wait_until(lambda: all(world.record(one).note for one in waiting), what="all to wait for the quota")
    world.start_agent("second", is_watching=False)
    wait_until(lambda: _state(world, "second") == "running", what="the second agent to announce itself")
    chosen = choose_agents(world.store, name="first")
    assert [done.is_done for done in drain_agents(world.store, chosen)] == [True]
    [done] = await_idle_agents(world.store, chosen, seconds=60)
    assert done.words == "drained, 0 launches under way, watches nothing"
    wait_until(lambda: world.watcher() == "second", what="the second agent to watch")
    gate.touch()
    world.wait_for(State.SUCCEEDED, [running, *waiting], seconds=60)
    assert first.stop() == 0
    assert not world.store.presence.fields("agent", "first")
    assert {world.record(one).launches for one in waiting} == {0}


def test_an_agent_is_chosen_by_its_name_or_host_and_needs_no_name_where_it_is_the_only_one(world: World) -> None:
    with pytest.raises(ConfigError, match="There is no live agent: start one with 'airflow hybrid agent'"):
        choose_agents(world.store)
    for name in ("a", "b"):
        fields = {"life": name, "state": "running", "host": f"host-{name}", "clusters": "default"}
        world.store.presence.announce("agent", name, fields, seconds=60)
    with pytest.raises(ConfigError, match=r"There are several agents: .* Live agents: a, b"):
        choose_agents(world.store)
    with pytest.raises(ConfigError, match=r"no live agent with the name or host c\. Live agents: a, b"):
        choose_agents(world.store, name="c")
    assert [member.name for member in choose_agents(world.store, name="host-b")] == ["b"]
    assert [member.name for member in choose_agents(world.store, is_for_all=True)] == ["a", "b"]


def test_the_command_says_that_new_pods_wait_and_is_exit_code_1_where_the_agent_does_not_obey(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__REDIS_URL", world.redis_url)
    fields = {"life": "l", "state": "drained", "clusters": "default", "in_flight": "no JSON", "leases": ""}
    world.store.presence.announce("agent", "a", fields, seconds=120)
    arguments = {"agent": None, "all": False, "wait": True, "timeout": 1.0, "undo": False}
    agents_command.drain(Namespace(**arguments))
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == "a: drained, 0 launches under way, watches nothing"
    assert told.err == (
        "No agent launches pods in cluster default now: new pods wait until one is resumed or started.\n"
    )
    assert world.store.orders.take("l") == [Order("drain")]
    world.store.presence.announce("agent", "a", {**fields, "state": "draining"}, seconds=120)
    with pytest.raises(SystemExit) as ended:
        agents_command.drain(Namespace(**arguments))
    assert ended.value.code == 1
    assert "a: has not done it yet; see 'airflow hybrid status'" in capsys.readouterr().err


def test_the_probe_says_that_an_agent_is_well_and_that_none_runs_when_it_has_ended(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = world.start_agent("probed")
    wait_until(lambda: vitals.vitals_path("probed").exists(), what="its vitals")
    assert probe("probed") == 0
    assert capsys.readouterr().out == "probed is well\n"
    agent.stop()
    assert probe("probed") == 1
    assert capsys.readouterr().out == "no agent named probed runs here\n"


def test_an_agent_with_a_stuck_thread_is_not_well_and_one_that_waits_for_redis_is() -> None:
    now = time.time()
    known = {"name": "a", "pid": 1, "host": "h", "written_at": now - 5}
    waits = vitals.AgentVitals(**known, trouble="Redis unavailable")
    assert vitals.find_trouble(waits, now=now, seconds=60) == ""
    stuck = vitals.AgentVitals(**known, turned_at={"renews leases": now - 100})
    assert vitals.find_trouble(stuck, now=now, seconds=60) == (
        "is stuck: the thread that renews leases has not come round for 100 s"
    )
    silent = vitals.AgentVitals(**{**known, "written_at": now - 61})
    assert vitals.find_trouble(silent, now=now, seconds=60) == "has not been heard of for 61 s"
