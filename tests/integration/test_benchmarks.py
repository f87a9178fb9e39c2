"""The benchmarks of this project run, with sizes too small to say anything and without upstream's executors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, load, main, read_settings
from benchmarks.bench import Bench
from benchmarks.limits import find_limits, schedulers_per_core
from benchmarks.page import write_page
from benchmarks.rows import Budget, Row
from benchmarks.servers import Servers
from benchmarks.table import WIDTH, show


@pytest.fixture(scope="module")
def bench(airflow_db: None) -> Iterator[Bench]:
    """What the benchmarks get, with a Valkey of its own, as they delete all keys, and the tests' database."""
    database_url = f"sqlite:///{os.environ['AIRFLOW_HOME']}/airflow.db"
    with Servers(database_url=database_url) as servers, Bench(servers, rounds=1, only_ours=True) as opened:
        yield opened


@pytest.mark.parametrize(
    ("name", "sizes", "metrics"),
    [
        ("celery_dispatch", {"counts": [20], "delays_ms": [0]}, 2),
        ("idle_heartbeat", {"counts": [5, 10], "times": 3}, 3),
        ("finish_events", {"counts": [20]}, 1),
        ("adoption", {"counts": [20]}, 3),
        ("pod_launch", {"count": 5}, 2),
        ("pod_events", {"count": 5}, 4),
        ("growth", {"queued": 20, "running": 10, "through": 20, "rounds": 2}, 6),
    ],
)
def test_a_benchmark_measures_something(bench: Bench, name: str, sizes: dict[str, object], metrics: int) -> None:
    rows = list(load(name)(bench, **sizes))
    assert len(rows) == metrics
    # The kernel counts CPU time in steps that are longer than so few pods take. Best is what does not grow. And an end
    # may be seen before the API server's answer about it is.
    assert all(row.ours > 0 or any(words in row.metric for words in ("CPU", ", from ", "pods end")) for row in rows)
    assert all(row.upstream is None and row.ratio is None for row in rows)


def test_each_benchmark_has_a_file_and_each_file_is_a_benchmark() -> None:
    folder = Path(__file__).parents[2] / "benchmarks" / "measures"
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(NAMES)


def test_sizes_and_names_are_taken_from_the_command_line() -> None:
    names, sizes = read_settings(["ONLY=adoption,chain", "adoption.counts=1,2", "chain.light=3"])
    assert names == ["adoption", "chain"]
    assert sizes == {"adoption": {"counts": [1, 2]}, "chain": {"light": 3}}


def test_sizes_and_options_may_stand_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ONLY=real_dags", "--rounds", "2", "real_dags.rounds=3", "--list"]) == 0
    assert "real_dags" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["ONLY=nothing", "adoption.size=1", "adoption", "nothing.counts=1"])
def test_an_unknown_benchmark_or_size_is_a_mistake_of_the_user(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([word])
    assert ended.value.code == 2
    assert "--list" in capsys.readouterr().err or word.startswith("ONLY=")


def test_a_budget_is_kept_or_missed_by_the_numbers_of_one_run() -> None:
    budget = Budget(times=5, share=0.5)
    fast = Row(
        benchmark="b", metric="m", unit="1/s", ours=60, upstream=10, limit=100, more_is_better=True, budget=budget
    )
    slow = Row(
        benchmark="b", metric="m", unit="1/s", ours=40, upstream=10, limit=50, more_is_better=True, budget=budget
    )
    far = Row(
        benchmark="b", metric="m", unit="1/s", ours=60, upstream=10, limit=200, more_is_better=True, budget=budget
    )
    assert [row.is_ok for row in (fast, slow, far)] == [True, False, False]
    assert Row(benchmark="b", metric="m", unit="ms", ours=2, upstream=6, budget=Budget(most=1)).is_ok is False
    assert Row(benchmark="b", metric="m", unit="ms", ours=2, upstream=6).ratio == 3
    assert Row(benchmark="b", metric="m", unit="ms", ours=2, budget=Budget(times=5)).is_ok is None


def test_the_table_fits_100_columns_and_names_what_missed_its_budget(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = {"ours": 123_456.0, "upstream": 1_234.5, "limit": 1_000_000.0, "more_is_better": True}
    budget = Budget(times=6, share=0.6)
    show([Row(benchmark="celery_dispatch", metric="10,000 workloads, 2 ms", unit="1/s", **numbers, budget=budget)])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= WIDTH
    assert "123,456" in printed
    assert "NO" in printed


def cost(benchmark: str, metric: str, unit: str, ours: float) -> dict[str, object]:
    return Row(benchmark=benchmark, metric=metric, unit=unit, ours=ours).to_plain()


def test_what_a_task_costs_says_where_a_part_reaches_its_limit() -> None:
    limits = find_limits(
        [
            cost("growth", "CPU of Redis: an attempt from queued to ended", "us", 100.0),
            cost("end_to_end", "1 scheduler: scheduler: CPU a task", "s", 0.05),
            cost("end_to_end", "1 scheduler: PostgreSQL: CPU a task", "s", 0.02),
            cost("end_to_end", "2 schedulers: scheduler: CPU a task", "s", 0.5),
        ]
    )
    assert {limit.part.name: round(limit.per_second) for limit in limits} == {
        "one Redis": 10_000,
        "one scheduler": 20,
        "one core of PostgreSQL": 50,
    }
    assert schedulers_per_core(limits) == pytest.approx(2.5)
    assert find_limits([]) == []


def test_the_page_shows_machine_numbers_and_what_missed_its_budget() -> None:
    slow = Row(benchmark="growth", metric="a heartbeat", unit="ms", ours=3, upstream=6, budget=Budget(most=2))
    page = write_page({"machine": {"machine": "2 cores"}, "rows": [slow.to_plain()]}, {"Launches": "bench-launch.png"})
    assert "* machine: 2 cores" in page
    assert "![Launches](images/bench-launch.png)" in page
    assert "| a heartbeat | ms | 3 | 6 | 2.0x |  | ≤ 2 | **no** |" in page
    assert max(len(line) for line in page.splitlines() if not line.startswith("|")) <= 120


def test_all_that_a_row_says_is_json() -> None:
    row = Row(benchmark="b", metric="m", unit="ms", ours=2, upstream=6, budget=Budget(most=3))
    assert json.loads(json.dumps(row.to_plain())) == {
        "benchmark": "b",
        "metric": "m",
        "unit": "ms",
        "ours": 2,
        "upstream": 6,
        "limit": None,
        "more_is_better": False,
        "ratio": 3.0,
        "is_ok": True,
        "budget": "<= 3",
    }
