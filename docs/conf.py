"""Configuration of Sphinx. ``make docs`` builds the site from the Markdown pages, as they are in the source tree.

The source folder is the root of the tree, so links between pages are the same here, in an editor, and on a Git host.
Warnings are errors: a broken link or anchor, a page that is not in the navigation, a page in it that does not exist.
"""

from __future__ import annotations

import re
import shutil
from configparser import ConfigParser
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
_METADATA = ConfigParser()
_METADATA.read(ROOT / "setup.cfg", encoding="utf-8")

project = "Hybrid executor for Apache Airflow"
release = version = _METADATA["metadata"]["version"]
html_title = "Hybrid executor"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"top_of_page_buttons": []}
smartquotes = False
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
extensions = ["myst_parser"]
myst_heading_anchors = 4
include_patterns = ["*.md", "docs/*.md", "benchmarks/*.md", "workers/manifests/*.md", "tests/compose/*.md"]
exclude_patterns = [".*", "build", "**/__pycache__"]
root_doc = "README"
pygments_dark_style = "github-dark"

NAVIGATION = {
    "Start": {
        "First steps": "docs/start",
        "On one machine": "docs/standalone",
        "Concepts": "docs/concepts",
        "Migration": "docs/migration",
    },
    "Set up": {
        "Routing and profiles": "docs/routing",
        "Elastic routes": "docs/elastic-routes",
        "Teams": "docs/teams",
        "Configuration": "docs/configuration",
        "Workers": "docs/workers",
        "Parsed Dag files": "docs/parsed-dags",
        "Pods": "docs/pods",
        "Start of a pod": "docs/pod-start",
        "Warm pods": "docs/warm-pods",
        "Tokens of pods": "docs/pod-tokens",
        "Redis": "docs/redis",
        "Redis URLs": "docs/redis-urls",
        "Managed Redis": "docs/managed-redis",
        "Versions": "docs/versions",
        "Airflow 3.2": "docs/airflow-3.2",
    },
    "Deploy": {
        "Docker Compose": "docs/docker",
        "Kubernetes": "docs/kubernetes-deployment",
        "Kubernetes manifests": "workers/manifests/README",
        "Security": "docs/security",
        "Performance": "docs/performance",
        "Measured figures": "docs/figures",
    },
    "Run": {
        "Why does this task wait?": "docs/operating",
        "When a part fails": "docs/failures",
        "Check a deployment": "docs/doctor",
        "Commands that change": "docs/commands-that-change",
        "In Airflow's UI": "docs/ui",
        "Metrics": "docs/metrics",
        "Ask Redis": "docs/redis-cli",
    },
    "Develop": {
        "Contributing": "CONTRIBUTING",
        "Architecture": "docs/architecture",
        "Fault tests": "docs/fault-tests",
        "Simulation": "docs/simulation",
        "Benchmarks": "benchmarks/README",
        "Test docker-compose.yml": "tests/compose/README",
        "Changelog": "CHANGELOG",
        "Report a vulnerability": "SECURITY",
    },
}
"""The navigation: group, title, page."""

_LOADED = re.compile(r"<(?:script|img|iframe)[^>]+src=[\"']?https?://|<link[^>]+(?:stylesheet|preload)[^>]+https?://")


def _append_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    """Append the navigation to the first page, where Sphinx looks for it."""
    if page == root_doc:
        for group, pages in NAVIGATION.items():
            listed = "\n".join(f"{title} <{name}>" for title, name in pages.items())
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {group}\n\n{listed}\n```\n"


def _finish(app: Sphinx, error: Exception | None) -> None:
    """Name the first page as web servers expect it, and check that no page loads anything from another host.

    :raises ValueError: one does; the site must work offline.
    """
    if error or app.builder.name != "html":
        return
    built = Path(app.outdir)
    shutil.copy(built / f"{root_doc}.html", built / "index.html")
    for page in built.rglob("*.html"):
        if found := _LOADED.search(page.read_text(encoding="utf-8")):
            raise ValueError(f"{page.name} loads something from another host: {found[0]}")


def setup(app: Sphinx) -> None:
    """Connect the two functions above."""
    app.connect("source-read", _append_navigation)
    app.connect("build-finished", _finish)
