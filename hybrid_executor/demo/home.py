"""The DAGs and profiles of a demo, and its temporary Airflow home."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import hybrid_executor
from hybrid_executor.config.profiles import read_profiles
from hybrid_executor.errors import ConfigError
from hybrid_executor.routing import parse_routes
from hybrid_executor.standalone.local_airflow import Plan
from hybrid_executor.standalone.private import plan_private

ROUTES = "kubernetes=kubernetes, gpu-*=kubernetes:gpu, *=celery"
_SOURCE_ROOT = Path(hybrid_executor.__file__).parents[1]


def find_dags(wanted: str | None) -> Path:
    """Return the folder with the DAGs to run: the wanted one, or the examples of the source tree.

    :raises ConfigError: it does not exist, or has no DAG file.
    """
    places = [Path(wanted)] if wanted else [_SOURCE_ROOT / "examples" / "dags", Path("examples") / "dags"]
    folder = next((place.resolve() for place in places if place.is_dir()), None)
    if folder is None and wanted:
        raise ConfigError(f"--dags {wanted}: there is no such folder; write a folder with DAG files.")
    if folder is None:
        raise ConfigError(
            "The examples are not part of the installed package: run the demo in a clone of the project, or write a "
            "folder with your own DAGs after --dags."
        )
    if not dag_files(folder):
        raise ConfigError(f"{folder} has no .py file; write a folder with DAG files after --dags.")
    return folder


def dag_files(folder: Path) -> list[Path]:
    """Return the files that Airflow searches for DAGs."""
    return [path for path in sorted(folder.rglob("*.py")) if "DAG" in (text := path.read_text()) or "dag" in text]


def plan_demo(home: Path, *, dags: Path, environment: Mapping[str, str], port: int | None) -> Plan:
    """Return the plan of the Airflow that runs ``dags`` below ``home``, with the profiles of the source tree.

    :raises ConfigError: the profiles are wrong.
    """
    profiles_file = _SOURCE_ROOT / "conf" / "profiles.yaml"
    if not profiles_file.is_file():
        profiles_file = home / "profiles.yaml"
        profiles_file.write_text("gpu: {}\n", encoding="utf-8")
    return plan_private(
        home,
        dags=dags,
        environment=environment,
        routes=parse_routes(ROUTES, profiles=read_profiles(str(profiles_file))),
        profiles_file=profiles_file,
        port=port,
    )
