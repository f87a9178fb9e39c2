"""Plots of a result, as PNG files. The only module that needs matplotlib."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402 - the backend comes first

Result = Mapping[str, Any]
_COLOURS = {"ours": "tab:blue", "upstream": "tab:orange"}
_NUMBER = re.compile(r"[\d,]+")


def draw(result: Result, folder: Path) -> dict[str, Path]:
    """Draw what there are numbers for; return the files by what they show."""
    found = {}
    for name, title, draw_one in (
        ("dispatch", "Workloads handed to Celery in a second", _dispatch),
        ("heartbeat", "A heartbeat without news, by attempts that run", _heartbeat),
        ("launch", "Pods that the API server has, by time", _launch),
        ("latency", "Time from queued to running", _latency),
    ):
        figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
        if draw_one(result, axes):
            axes.set_title(title, fontsize=11)
            axes.grid(alpha=0.3)
            axes.legend(fontsize=8)
            path = folder / f"bench-{name}.png"
            figure.savefig(path, dpi=110, metadata={"Software": None})
            found[title] = path
        pyplot.close(figure)
    return found


def _rows(result: Result, benchmark: str, ends: str = "") -> list[Mapping[str, Any]]:
    """Return the rows of a benchmark that stand beside upstream's default."""
    found = [row for row in result["rows"] if row["benchmark"] == benchmark and row["metric"].endswith(ends)]
    return [row for row in found if ";" not in row["metric"]]


def _dispatch(result: Result, axes: Any) -> bool:
    rows = _rows(result, "celery_dispatch", " ms")
    for offset, side in ((-0.2, "ours"), (0.2, "upstream")):
        bars = [(index + offset, row[side]) for index, row in enumerate(rows) if row[side]]
        axes.bar([x for x, _ in bars], [y for _, y in bars], width=0.4, color=_COLOURS[side], label=side)
    axes.set_xticks(range(len(rows)), [row["metric"].replace(", ", "\n") + " delay" for row in rows], fontsize=8)
    axes.set_yscale("log")
    axes.set_ylabel("1/s")
    return bool(rows)


def _heartbeat(result: Result, axes: Any) -> bool:
    rows = _rows(result, "idle_heartbeat", "attempts running")
    counts = [int(_NUMBER.findall(row["metric"])[0].replace(",", "")) for row in rows]
    for side in ("ours", "upstream"):
        points = [(count, row[side]) for count, row in zip(counts, rows, strict=True) if row[side]]
        axes.plot([x for x, _ in points], [y for _, y in points], "o-", color=_COLOURS[side], label=side)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("attempts that run")
    axes.set_ylabel("ms")
    return bool(rows)


def _launch(result: Result, axes: Any) -> bool:
    curves = _series(result, "pod_launch, seconds and pods: ")
    for name, points in curves.items():
        axes.plot([second for second, _ in points], [count for _, count in points], label=name)
    axes.set_xlabel("s")
    axes.set_ylabel("pods")
    return bool(curves)


def _latency(result: Result, axes: Any) -> bool:
    curves = _series(result, "end_to_end, 1 schedulers, queued to running (s): ")
    for name, places in curves.items():
        for words, waited in places.items():
            share = [100 * (index + 1) / len(waited) for index in range(len(waited))]
            axes.plot(waited, share, label=f"{name}, {words}")
    axes.set_xlabel("s")
    axes.set_ylabel("% of tasks")
    return bool(curves)


def _series(result: Result, start: str) -> dict[str, Any]:
    series: Mapping[str, Sequence[Any]] = result.get("series", {})
    return {name.removeprefix(start): values for name, values in series.items() if name.startswith(start)}
