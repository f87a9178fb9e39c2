"""The page and the files about metrics are those of the table, and use no name that it does not have."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybrid_executor.metrics import METRICS

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "examples" / "monitoring"
PAGE = runpy.run_path(str(ROOT / "docs" / "render_metrics.py"))
NAMES = {
    name
    for metric in METRICS
    for name in (
        [metric.prometheus_name + part for part in ("_bucket", "_sum", "_count")]
        if metric.kind == "timer"
        else [metric.prometheus_name]
    )
}
TAGS = {metric.prometheus_name: set(metric.tags) for metric in METRICS}


def test_the_page_is_the_table() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == PAGE["render_page"](), "run: python docs/render_metrics.py"


def test_every_metric_is_on_the_page_once() -> None:
    found = re.findall(r"^\| `([a-z._]+)` \| (?:counter|gauge|timer)", PAGE["render_page"](), re.MULTILINE)
    assert sorted(found) == sorted(metric.name.removeprefix("hybrid_executor.") for metric in METRICS)


def test_the_mapping_is_the_table() -> None:
    text = (FOLDER / "statsd_mapping.yml").read_text()
    assert text == PAGE["render_mapping"](), "run: python docs/render_metrics.py"


def matches(pattern: str, name: str) -> re.Match[str] | None:
    """Match a name as statsd_exporter does: a star is one level."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", r"([^.]+)"), name)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_mapping_leads_both_forms_of_a_name_to_the_same_name(metric: Any) -> None:
    mappings = yaml.safe_load((FOLDER / "statsd_mapping.yml").read_text())["mappings"]
    values = [f"value{index}" for index in range(len(metric.tags))]
    for name in {".".join(["airflow", metric.name, *values]), f"airflow.{metric.name}"}:
        first = next(mapping for mapping in mappings if matches(mapping["match"], name))
        assert first["name"] == metric.prometheus_name
        found = matches(first["match"], name)
        assert found is not None
        if found.groups():
            labels = {
                key: found.expand(value.replace("$", "\\").replace("{", "").replace("}", ""))
                for key, value in first["labels"].items()
            }
            assert labels == dict(zip(metric.tags, values, strict=True))


def test_the_dashboard_is_what_its_script_makes() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "render_dashboard.py"))["render_dashboard"]()
    assert (FOLDER / "grafana_dashboard.json").read_text() == made, "run: python docs/render_dashboard.py"


def expressions() -> list[str]:
    dashboard = json.loads((FOLDER / "grafana_dashboard.json").read_text())
    rules = yaml.safe_load((FOLDER / "prometheus_rules.yml").read_text())["groups"][0]["rules"]
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]] + [
        rule["expr"] for rule in rules
    ]


@pytest.mark.parametrize("expression", expressions())
def test_every_name_and_label_of_an_expression_is_in_the_table(expression: str) -> None:
    names = set(re.findall(r"\bairflow_\w+", expression))
    assert names
    assert names <= NAMES
    grouped = {
        label for group in re.findall(r"by \(([^)]*)\)", expression) for label in re.split(r", *", group) if label
    }
    selected = set(re.findall(r"(\w+)=[~\"]", expression)) | set(re.findall(r"(\w+)!=\"", expression))
    tags = {tag for name in names for tag in TAGS[re.sub(r"_(bucket|sum|count)$", "", name)]}
    assert (grouped | selected) - {"le"} <= tags


def test_panels_do_not_overlap_and_have_their_own_ids() -> None:
    panels = json.loads((FOLDER / "grafana_dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool: apt-get install prometheus")
@pytest.mark.parametrize("command", [("check", "prometheus_rules.yml"), ("test", "prometheus_rules_test.yml")])
def test_promtool_accepts_the_rules(command: tuple[str, str]) -> None:
    kind, name = command
    done = subprocess.run(
        ["promtool", kind, "rules", name], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout
