"""The processes of a standalone Airflow and their order."""

from __future__ import annotations

from hybrid_executor.standalone.components import Choices, Probes, build_components


def test_schedulers_stop_first_and_the_servers_that_others_need_last() -> None:
    def is_ready(team: str = "") -> bool:
        return True

    names = ("valkey", "sandbox", "worker", "team_worker", "api_server", "scheduler", "triggerer", "dag_processor")
    probes = Probes(**dict.fromkeys(names, is_ready))
    choices = Choices(valkey=("valkey",), sandbox=("sandbox",), worker=(), teams=("red",), team_workers={"red": ()})
    ranks = {component.name: component.stop_rank for component in build_components(choices, probes, {})}
    assert ranks["scheduler"] == ranks["dag-processor"] == ranks["triggerer"] < ranks["worker"] == ranks["worker-red"]
    assert ranks["worker"] < ranks["sandbox"] < ranks["api-server"] < ranks["valkey"]
