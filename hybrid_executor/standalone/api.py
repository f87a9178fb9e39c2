"""The requests to Airflow's REST API: health, starting a run, the state of its tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from hybrid_executor.errors import HybridError

_PAGE = 100
_COMPONENTS = ("scheduler", "triggerer", "dag_processor")


class ApiError(HybridError):
    """Airflow's REST API did not answer, or refused. Callers that poll retry."""


class AirflowApi:
    """The REST API of an Airflow with the simple auth manager, for one user.

    :param base_url: such as ``http://127.0.0.1:8080``.
    """

    def __init__(self, base_url: str, *, username: str, password: str) -> None:
        self.base_url = base_url
        self._login = {"username": username, "password": password}
        self._client = httpx.Client(base_url=base_url, timeout=10.0)
        self._token = ""

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def beats(self) -> dict[str, str]:
        """Return the last heartbeat of each healthy component; empty if there is no answer."""
        try:
            answer = self._client.get("/api/v2/monitor/health", timeout=1.0)
            health = answer.json() if answer.status_code == 200 else {}
        except (httpx.HTTPError, ValueError):
            return {}
        return {
            "api_server": "now",
            **{
                name: health[name][f"latest_{name}_heartbeat"]
                for name in _COMPONENTS
                if health.get(name, {}).get("status") == "healthy"
            },
        }

    def dag_ids(self) -> set[str]:
        """Return the ids of the DAGs that Airflow has read."""
        return {dag["dag_id"] for dag in self._list("/api/v2/dags", "dags")}

    def import_errors(self) -> dict[str, str]:
        """Return the import errors by DAG file."""
        rows = self._list("/api/v2/importErrors", "import_errors")
        return {row["filename"]: row["stack_trace"] for row in rows}

    def unpause(self, dag_id: str) -> None:
        """Let a DAG run."""
        self._ask("PATCH", f"/api/v2/dags/{quote(dag_id)}", {"is_paused": False})

    def trigger(self, dag_id: str) -> str:
        """Start a run of a DAG now and return its id."""
        body = {"logical_date": None}
        return str(self._ask("POST", f"/api/v2/dags/{quote(dag_id)}/dagRuns", body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run (queued, running, success, failed)."""
        return str(self._ask("GET", f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return a run's task instances."""
        path = f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances"
        return self._list(path, "task_instances")

    def tries(self, instance: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return every try of a task instance, the earliest first."""
        dag_id, run_id = quote(instance["dag_id"]), quote(instance["dag_run_id"])
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{quote(instance['task_id'])}"
        if instance["map_index"] >= 0:
            path += f"/{instance['map_index']}"
        rows: list[dict[str, Any]] = self._ask("GET", f"{path}/tries")["task_instances"]
        return sorted(rows, key=lambda row: int(row["try_number"]))

    def xcom(self, instance: Mapping[str, Any], key: str = "return_value") -> Any:
        """Return a value that a task instance has pushed."""
        dag_id, run_id = quote(instance["dag_id"]), quote(instance["dag_run_id"])
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{quote(instance['task_id'])}/xcomEntries/{key}"
        return self._ask("GET", f"{path}?map_index={instance['map_index']}&deserialize=false")["value"]

    def log_text(self, instance: Mapping[str, Any]) -> str:
        """Return the log of a task instance's last try, as JSON lines."""
        dag_id, run_id = quote(instance["dag_id"]), quote(instance["dag_run_id"])
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{quote(instance['task_id'])}/logs"
        query = f"map_index={instance['map_index']}&full_content=true"
        lines = self._ask("GET", f"{path}/{instance['try_number']}?{query}")["content"]
        return "\n".join(map(json.dumps, lines))

    def _list(self, path: str, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while True:
            page = self._ask("GET", f"{path}?limit={_PAGE}&offset={len(rows)}")
            rows += page[name]
            if not page[name] or len(rows) >= page["total_entries"]:
                return rows

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._send(method, path, body)
        if answer.status_code == 401:
            self._token = ""
            answer = self._send(method, path, body)
        if answer.status_code >= 400:
            raise ApiError(f"Airflow's API answered {method} {path} with {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def _send(self, method: str, path: str, body: Any) -> httpx.Response:
        try:
            if not self._token:
                login = self._client.post("/auth/token", json=self._login)
                if login.status_code != 201:
                    raise ApiError(f"Airflow's API refused the login with {login.status_code}: {login.text[:200]}")
                self._token = login.json()["access_token"]
            return self._client.request(method, path, json=body, headers={"Authorization": f"Bearer {self._token}"})
        except httpx.HTTPError as error:
            raise ApiError(f"Airflow's API did not answer {method} {path}: {error}") from error
