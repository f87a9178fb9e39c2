"""The faults of the soak. Each strikes for some seconds, undoes itself, and needs nobody to start anything again.

A function gets the deployment and a source of random choices, which decide whom it strikes and for how long.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.fault.deployment import Deployment
from tests.fault.parts import Part

Happening = Callable[[Deployment, Random], None]


def _killed(part: Part, random: Random) -> None:
    part.kill()
    time.sleep(random.uniform(0, 8))
    part.start()


def _paused(part: Part, random: Random) -> None:
    part.pause()
    time.sleep(random.choice([3, 8, 35]))
    part.resume()


def _one_of(names: list[str], random: Random, deployment: Deployment) -> Part:
    return deployment.part(random.choice(names))


def scheduler_killed(deployment: Deployment, random: Random) -> None:
    _killed(_one_of(deployment.schedulers, random, deployment), random)


def scheduler_paused(deployment: Deployment, random: Random) -> None:
    _paused(_one_of(deployment.schedulers, random, deployment), random)


def scheduler_stopped(deployment: Deployment, random: Random) -> None:
    part = _one_of(deployment.schedulers, random, deployment)
    part.stop()
    part.start()


def agent_killed(deployment: Deployment, random: Random) -> None:
    _killed(_one_of(deployment.agents, random, deployment), random)


def agent_paused(deployment: Deployment, random: Random) -> None:
    _paused(_one_of(deployment.agents, random, deployment), random)


def host_lost(deployment: Deployment, random: Random) -> None:
    _killed(_one_of(deployment.workers, random, deployment), random)


def worker_paused(deployment: Deployment, random: Random) -> None:
    part = _one_of(deployment.workers, random, deployment)
    part.pause()
    time.sleep(random.choice([3, 8]))
    part.resume()


def worker_cut_off(deployment: Deployment, random: Random) -> None:
    link = deployment.redis.link(random.choice(deployment.workers))
    link.cut()
    time.sleep(random.choice([5, 45]))
    link.mend()


def task_process_killed(deployment: Deployment, random: Random) -> None:
    """Kill a process of the pool of a worker, busy or not."""
    parent = _one_of(deployment.workers, random, deployment).pid
    with suppress(OSError, IndexError):
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        os.kill(int(random.choice(children)), signal.SIGKILL)


def redis_restarted(deployment: Deployment, random: Random) -> None:
    deployment.redis.restart(with_data=True, down_seconds=random.uniform(0, 10))


def redis_restarted_empty(deployment: Deployment, random: Random) -> None:
    deployment.redis.restart(with_data=False, down_seconds=random.uniform(0, 10))


def redis_loading(deployment: Deployment, random: Random) -> None:
    deployment.redis.restart_loading(random.uniform(2, 15))


def redis_flushed(deployment: Deployment, random: Random) -> None:
    with deployment.redis.client() as client:
        client.flushall()


def redis_frozen(deployment: Deployment, random: Random) -> None:
    server = deployment.redis.primary
    server.pause()
    time.sleep(random.choice([2, 15]))
    server.resume()


def redis_full(deployment: Deployment, random: Random) -> None:
    with deployment.redis.client() as client:
        client.config_set("maxmemory", 1)
        time.sleep(random.uniform(2, 10))
        client.config_set("maxmemory", 0)


def redis_read_only(deployment: Deployment, random: Random) -> None:
    with deployment.redis.client() as client:
        client.replicaof("127.0.0.1", "1")
        time.sleep(random.uniform(2, 10))
        client.replicaof("NO", "ONE")


def redis_failed_over(deployment: Deployment, random: Random) -> None:
    deployment.redis.fail_over(lost_seconds=random.uniform(0, 2))


def redis_slow(deployment: Deployment, random: Random) -> None:
    for link in deployment.redis.links:
        link.slow(0.05)
    time.sleep(random.uniform(2, 10))
    for link in deployment.redis.links:
        link.mend()


def connections_dropped(deployment: Deployment, random: Random) -> None:
    for link in deployment.redis.links:
        link.drop_connections()


def cluster_down(deployment: Deployment, random: Random) -> None:
    seconds = random.uniform(1, 20)
    deployment.sandbox.faults.restart(seconds)
    time.sleep(seconds)


def cluster_refuses(deployment: Deployment, random: Random) -> None:
    rule = deployment.sandbox.faults.fail(random.choice([429, 500, 503]), times=None, retry_after_seconds=1)
    time.sleep(random.uniform(2, 10))
    deployment.sandbox.faults.remove(rule)


def answers_lost(deployment: Deployment, random: Random) -> None:
    rule = deployment.sandbox.faults.lose_reply(times=None)
    time.sleep(random.uniform(1, 5))
    deployment.sandbox.faults.remove(rule)


def watches_cut(deployment: Deployment, random: Random) -> None:
    if random.random() < 0.5:
        deployment.sandbox.faults.compact()
    deployment.sandbox.faults.cut_watches()


def database_cut(deployment: Deployment, random: Random) -> None:
    """Airflow's schedulers may end by that; they are started again, as by a service manager."""
    deployment.postgres.cut_sessions()
    until = time.monotonic() + 15
    while time.monotonic() < until:
        deployment.revive()
        time.sleep(0.5)


def api_server_killed(deployment: Deployment, random: Random) -> None:
    _killed(deployment.part("api-server"), random)


HAPPENINGS: Mapping[str, Happening] = {
    happening.__name__.replace("_", " "): happening
    for happening in (
        *(scheduler_killed, scheduler_paused, scheduler_stopped, agent_killed, agent_paused),
        *(host_lost, worker_paused, worker_cut_off, task_process_killed),
        *(redis_restarted, redis_restarted_empty, redis_loading, redis_flushed, redis_frozen, redis_full),
        *(redis_read_only, redis_failed_over, redis_slow, connections_dropped),
        *(cluster_down, cluster_refuses, answers_lost, watches_cut, database_cut, api_server_killed),
    )
}
"""All faults by what they are called in the table."""
