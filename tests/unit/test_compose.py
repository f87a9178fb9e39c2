"""docker-compose.yml and the image: what can be said without a Docker engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybrid_executor.config.profiles import read_profiles
from hybrid_executor.routing import parse_routes

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "airflow-hybrid-executor" in service["image"])
DOCKERFILE = (ROOT / "workers" / "Dockerfile").read_text()


def seconds(duration: str) -> int:
    """Return what a duration of Compose means."""
    units = {"s": 1, "m": 60, "h": 3600}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smh])", duration))


def default(text: str) -> str:
    """Return what a value is where no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def active(profile: str | None) -> set[str]:
    """Return the services that ``up`` starts with a profile."""
    return {name for name, service in SERVICES.items() if not service.get("profiles") or profile in service["profiles"]}


def mounts(service: str) -> dict[str, str]:
    """Return what a service mounts, by its place in the container."""
    found = (default(entry).split(":") for entry in SERVICES[service].get("volumes", []))
    return {parts[1]: parts[0] for parts in found}


def test_one_service_builds_the_image_that_all_use() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]
    assert len({SERVICES[name]["image"] for name in OURS}) == 1
    for name in set(OURS) - {"migrate"}:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    build = SERVICES["migrate"]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).is_file()


def test_the_image_carries_the_version_of_the_package() -> None:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    wanted = f"airflow-hybrid-executor:{parser['metadata']['version']}"
    assert default(SERVICES["migrate"]["image"]) == wanted
    template = yaml.safe_load((ROOT / "conf" / "pod_template.yaml").read_text())
    assert template["spec"]["containers"][0]["image"] == wanted
    agent = SERVICES["agent"]["environment"]
    names = ("WORKER_CONTAINER_REPOSITORY", "WORKER_CONTAINER_TAG")
    assert ":".join(default(agent[f"AIRFLOW__KUBERNETES_EXECUTOR__{name}"]) for name in names) == wanted


def test_the_image_is_built_in_a_folder_of_the_user_airflow() -> None:
    # The old builder makes the target of a COPY as root: pip could not write into it, and rm would fail.
    instructions = [line for line in DOCKERFILE.splitlines() if line and not line.startswith(("#", " "))]
    copies = [line.split() for line in instructions if line.startswith("COPY")]
    assert instructions.index("RUN mkdir -p /tmp/hybrid/workers /tmp/hybrid/examples") < min(
        index for index, line in enumerate(instructions) if line.startswith("COPY")
    )
    for words in copies:
        assert words[1] == "--chown=airflow:0"
        assert words[-1].startswith(("/tmp/hybrid/", "/opt/airflow/"))  # noqa: S108
        for source in (word for word in words[2:-1] if "$" not in word):
            assert (ROOT / source).exists(), source


def test_the_image_gets_every_package_of_the_wheel() -> None:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    sources = dict(line.split(" = ") for line in parser["options"]["package_dir"].split("\n") if line)
    assert "hybrid_executor" in sources
    for source in sources.values():
        assert f"COPY --chown=airflow:0 {source} /tmp/hybrid/{source}\n" in DOCKERFILE


@pytest.mark.parametrize("place", ["auth", "sandbox"])
def test_volumes_belong_to_the_user_airflow(place: str) -> None:
    # A volume takes owner and mode of the folder in the image; without one it is root's.
    assert f"/opt/airflow/{place}" in DOCKERFILE
    assert place in COMPOSE["volumes"]


def test_stopping_a_worker_leaves_its_tasks_the_time_they_have() -> None:
    worker = SERVICES["worker"]
    assert worker["environment"]["DUMB_INIT_SETSID"] == "0"
    timeout = int(worker["environment"]["AIRFLOW__HYBRID_EXECUTOR__WORKER_SHUTDOWN_TIMEOUT"])
    assert 0 < timeout + 10 <= seconds(worker["stop_grace_period"])


def test_every_service_that_goes_on_has_a_health_check() -> None:
    goes_on = {name for name, service in SERVICES.items() if service["restart"] != "no"}
    assert set(SERVICES) - goes_on == {"migrate"}
    assert {name for name, service in SERVICES.items() if service.get("healthcheck")} == goes_on


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_the_output_of_every_container_is_limited(name: str) -> None:
    assert SERVICES[name]["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}


def test_every_health_check_is_explained() -> None:
    page = (ROOT / "docs" / "docker.md").read_text()
    table = page.partition("## Health and logs")[2].partition("## ")[0]
    explained = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([\w-]+)`", row)
    }
    assert explained == {name for name, service in SERVICES.items() if "healthcheck" in service}


def test_workers_do_not_get_the_address_that_is_meant_for_pods() -> None:
    for name in OURS:
        if name != "sandbox":
            address = SERVICES[name]["environment"]["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
            assert address == "http://api-server:8080/execution/"


@pytest.mark.parametrize("name", ["agent", "sandbox-agent"])
def test_agents_put_the_address_for_pods_into_the_template(name: str) -> None:
    service = SERVICES[name]
    [_, _, script] = service["command"]
    replaced = re.search(r"s\|([^|]+)\|\$\$POD_EXECUTION_API_SERVER_URL\|", script)
    assert replaced
    assert (ROOT / "conf" / "pod_template.yaml").read_text().count(replaced[1]) == 1
    assert "POD_EXECUTION_API_SERVER_URL" in service["environment"]
    assert service["environment"]["AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE"] == "/tmp/pod_template.yaml"  # noqa: S108


@pytest.mark.parametrize("name", ["agent", "sandbox-agent"])
def test_agents_have_a_health_check_that_loads_no_airflow(name: str) -> None:
    check = SERVICES[name]["healthcheck"]["test"]
    assert check == ["CMD", "python", "-m", "hybrid_executor.agent.probe"]
    find = [sys.executable, "-X", "importtime", *check[2:], "--seconds", "60"]
    done = subprocess.run(find, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "no agent runs here\n")
    assert "airflow" not in {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}


def test_the_address_for_pods_is_set_by_whoever_runs_a_cluster() -> None:
    address = SERVICES["agent"]["environment"]["POD_EXECUTION_API_SERVER_URL"]
    assert address.startswith("${EXECUTION_API_SERVER_URL:-")
    assert SERVICES["api-server"]["ports"] == ["${API_SERVER_BIND:-127.0.0.1}:${API_SERVER_PORT:-8080}:8080"]


def test_pods_of_a_cluster_find_the_dags_that_the_dag_processor_reads() -> None:
    [dags] = re.findall(r"^ARG DAGS=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert f"./{dags}" == mounts("pod-dag-processor")["/opt/airflow/dags"]
    assert "COPY --chown=airflow:0 ${DAGS} /opt/airflow/dags" in DOCKERFILE
    template = yaml.safe_load((ROOT / "conf" / "pod_template.yaml").read_text())
    assert "volumes" not in template["spec"]
    assert mounts("sandbox")["/opt/airflow/dags"] == mounts("pod-dag-processor")["/opt/airflow/dags"]


def test_agent_and_api_server_have_the_same_kubeconfig_and_workers_have_none() -> None:
    for pair in (("api-server", "agent", "/opt/airflow/kube"), ("api-server", "sandbox-agent", "/opt/airflow/sandbox")):
        server, agent, place = pair
        path = f"{place}/kubeconfig"
        assert mounts(server)[place] == mounts(agent)[place]
        assert path in SERVICES[server]["environment"]["KUBECONFIG"].split(":")
        assert SERVICES[agent]["environment"]["AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE"] == path
    holders = {name for name in SERVICES if "/opt/airflow/kube" in mounts(name)}
    assert holders == {"api-server", "agent"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_path_of_the_host_is_in_the_source_tree(name: str) -> None:
    # Docker makes a folder of root's where a path is missing. So a file that users make is never mounted by itself.
    for source in mounts(name).values():
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_sandbox_shares_a_network_with_who_talks_to_it() -> None:
    assert {name for name in SERVICES if "sandbox" in SERVICES[name].get("profiles", [])} == {
        "pod-dag-processor",
        "sandbox",
        "sandbox-agent",
    }
    assert SERVICES["sandbox"]["network_mode"] == SERVICES["sandbox-agent"]["network_mode"] == "service:api-server"
    assert "SQL_ALCHEMY_CONN" not in json.dumps(SERVICES["sandbox"])


@pytest.mark.parametrize(("profile", "agents"), [(None, 0), ("sandbox", 1), ("kubernetes", 1)])
def test_dags_with_pods_are_read_only_where_an_agent_runs(profile: str | None, agents: int) -> None:
    started = active(profile)
    assert len(started & {"agent", "sandbox-agent"}) == agents
    read = {SERVICES[name]["command"][-1] for name in started if "dag-processor" in SERVICES[name].get("command", [])}
    assert read == ({"workers", "dags-folder"} if agents else {"workers"})
    bundles = json.loads(SERVICES["scheduler"]["environment"]["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert read <= {bundle["name"] for bundle in bundles}


def test_no_example_of_the_default_folder_needs_pods() -> None:
    folder = ROOT / mounts("dag-processor")["/opt/airflow/worker_dags"]
    assert list(folder.glob("*.py"))
    assert not [path for path in folder.glob("*.py") if "queue" in path.read_text()]


def test_routes_and_profiles_fit_together() -> None:
    environment = SERVICES["scheduler"]["environment"]
    assert environment["AIRFLOW__HYBRID_EXECUTOR__PROFILES_FILE"] == "/opt/airflow/conf/profiles.yaml"
    profiles = read_profiles(str(ROOT / "conf" / "profiles.yaml"))
    assert parse_routes(environment["AIRFLOW__HYBRID_EXECUTOR__ROUTES"], profiles=profiles).profiles == ("gpu",)


def test_the_admin_password_is_kept() -> None:
    path = SERVICES["api-server"]["environment"]["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]
    assert mounts("api-server")[str(Path(path).parent)] in COMPOSE["volumes"]


@pytest.mark.parametrize("name", [".gitignore", ".dockerignore"])
@pytest.mark.parametrize("secret", ["kubeconfig", "kube/kubeconfig", ".env"])
def test_files_with_secrets_are_ignored(name: str, secret: str) -> None:
    patterns = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert any(fnmatch(f"/{secret}", f"*/{pattern.removeprefix('**/')}") for pattern in patterns)
    # Without a slash, Docker's patterns mean the root only.
    assert name == ".gitignore" or any(pattern == f"**/{Path(secret).name}" for pattern in patterns)


def test_every_variable_is_explained() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    documented = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs" / "docker.md").read_text()))
    assert used - documented == set()
