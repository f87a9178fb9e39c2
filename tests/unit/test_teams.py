"""Teams: whose options count, what differs between them by construction, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.configuration import AirflowConfigParser

from hybrid_executor.config import AirflowConfig, DictConfig, airflow_config, read_settings
from hybrid_executor.config.apart import check_apart
from hybrid_executor.config.broker import read_broker
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.config.suspects import find_suspects
from hybrid_executor.config.teams import (
    check_team,
    in_words_of,
    our_teams,
    parse_executors,
    read_share,
    words_of,
)
from hybrid_executor.errors import ConfigError

OURS = "hybrid_executor.HybridExecutor"
TWO_TEAMS = f"LocalExecutor;red={OURS};blue=blues:hybrid_executor.KubernetesExecutor,CeleryExecutor"


def config(team: str = "", *, executor: str = TWO_TEAMS, multi_team: str = "True", **sections: str) -> DictConfig:
    options = {name.replace("__", " ").split(" ")[1]: text for name, text in sections.items()}
    core = {"executor": executor, "multi_team": multi_team}
    return DictConfig({"core": core, "hybrid_executor": options}, team=team)


def in_file(tmp_path: Path, text: str, team: str = "") -> AirflowConfig:
    file = tmp_path / "airflow.cfg"
    file.write_text(text)
    parser = AirflowConfigParser()
    parser.read(str(file))
    return AirflowConfig(parser, team=team)


# ---- [core] executor ----


def test_executors_are_read_with_their_teams_and_aliases() -> None:
    found = [(entry.team, entry.alias, entry.path) for entry in parse_executors(TWO_TEAMS)]
    assert found == [
        ("", "", "LocalExecutor"),
        ("red", "", OURS),
        ("blue", "blues", "hybrid_executor.KubernetesExecutor"),
        ("blue", "", "CeleryExecutor"),
    ]


def test_teams_count_only_in_the_multi_team_mode() -> None:
    assert our_teams(config()) == ["red", "blue"]
    assert our_teams(config(multi_team="False")) == []


@pytest.mark.parametrize(
    ("team", "multi_team", "words"),
    [
        ("red", "False", r"set \[core\] multi_team = True"),
        ("ret", "True", "names no team 'ret'. Did you mean red\\? .* airflow teams create ret"),
        ("green", "True", "Its teams with this executor are red, blue"),
        ("", "True", "this executor only for teams: give --team NAME. The teams are red, blue"),
    ],
)
def test_a_wrong_team_is_one_error_that_says_what_to_write(team: str, multi_team: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_team(config(multi_team=multi_team), team)


def test_a_team_with_another_executor_is_named() -> None:
    with pytest.raises(ConfigError, match="has another executor \\(CeleryExecutor\\): write 'red=hybrid_executor"):
        check_team(config(executor=f"{OURS};red=CeleryExecutor"), "red")


def test_the_shape_is_that_of_the_teams_executor() -> None:
    assert str(read_configured_settings(config("red")).routes) == "kubernetes=kubernetes, *=celery"
    assert str(read_configured_settings(config("blue")).routes) == "*=kubernetes"


# ---- whose options count ----


def test_a_team_reads_its_own_options_and_none_of_those_for_all(tmp_path: Path) -> None:
    text = """
[hybrid_executor]
redis_url = redis://for-all/0
celery_parallelism = 7
[red=hybrid_executor]
redis_url = redis://of-red/0
"""
    red, blue = (read_settings(in_file(tmp_path, text, team)) for team in ("red", "blue"))
    assert red.redis is not None
    assert (red.redis.url, red.parallelism["celery"]) == ("redis://of-red/0", 32)
    assert blue.redis is None
    with pytest.raises(ConfigError, match=r"Set \[blue=hybrid_executor\] redis_url .*for the team 'blue'"):
        blue.require_redis()


def test_the_environment_of_a_team_goes_over_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[red=hybrid_executor]\nredis_url = redis://file/0\n"
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__REDIS_URL", "redis://for-all/0")
    monkeypatch.setenv("AIRFLOW__RED___HYBRID_EXECUTOR__REDIS_URL", "redis://environment/0")
    location = read_settings(in_file(tmp_path, text, "red")).redis
    assert location is not None
    assert location.url == "redis://environment/0"


def test_commands_work_for_a_team_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = in_file(tmp_path, "[red=celery]\nbroker_url_cmd = echo redis://command/0\n", "red")
    assert conf.get("celery", "broker_url") == "redis://command/0"
    assert conf.is_set("celery", "broker_url")
    monkeypatch.setenv("AIRFLOW__RED___CELERY__BROKER_URL_CMD", "echo redis://environment/0")
    assert conf.get("celery", "broker_url") == "redis://environment/0"
    assert not in_file(tmp_path, "[celery]\nbroker_url = redis://all/0\n", "blue").is_set("celery", "broker_url")


def test_airflows_own_options_count_for_a_team_unless_it_has_its_own(tmp_path: Path) -> None:
    text = "[operators]\ndefault_queue = etl\n[core]\nparallelism = 9\n[red=core]\nparallelism = 3\n"
    red, blue = (in_file(tmp_path, text, team) for team in ("red", "blue"))
    assert (red.get("operators", "default_queue"), blue.get("operators", "default_queue")) == ("etl", "etl")
    assert (read_settings(red).parallelism["celery"], read_settings(blue).parallelism["celery"]) == (3, 9)


def test_free_sections_of_a_team_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[celery_broker_transport_options]\nmaster_name = all\n[red=celery_broker_transport_options]\nretry = 5\n"
    monkeypatch.setenv("AIRFLOW__RED___CELERY_BROKER_TRANSPORT_OPTIONS__TIMEOUT", "7")
    found = in_file(tmp_path, text, "red").options("celery_broker_transport_options")
    assert found == {"retry": "5", "timeout": "7"}


# ---- what differs ----


def test_keys_labels_and_queues_differ_without_any_option() -> None:
    red, blue, whole = (read_settings(config(team, x__redis_url="redis://one/0")) for team in ("red", "blue", ""))
    assert [settings.instance for settings in (red, blue, whole)] == ["airflow-red", "airflow-blue", "airflow"]
    assert [settings.broker.key_prefix for settings in (red, blue, whole)] == ["airflow-red:", "airflow-blue:", ""]
    check_apart(lambda team: config(team, executor=f"{OURS};red={OURS};blue={OURS}", x__redis_url="redis://one/0"))


def test_a_broker_that_is_no_redis_gets_no_prefix() -> None:
    conf = DictConfig({"celery": {"broker_url": "amqp://rabbit/red"}}, team="red")
    assert "global_keyprefix" not in read_broker(conf).transport_options


def apart(executor: str = f"{OURS};red={OURS};blue={OURS}", **sections: dict[str, str]) -> None:
    core = {"core": {"executor": executor, "multi_team": "True"}}

    def conf_of(team: str) -> DictConfig:
        mine = {name.rpartition("_")[0] if team else name: values for name, values in sections.items()}
        own = {name: values for name, values in mine.items() if not team or f"{name}_{team}" in sections}
        return DictConfig({**own, **core}, team=team)

    check_apart(conf_of)


def test_two_teams_with_one_instance_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\[red=hybrid_executor\] instance and \[blue=hybrid_executor\] instance"):
        apart(hybrid_executor_red={"instance": "same"}, hybrid_executor_blue={"instance": "same"})


def test_a_team_with_the_instance_of_all_teams_is_refused() -> None:
    with pytest.raises(ConfigError, match="all teams and the team 'red' would share Redis keys and pods"):
        apart(hybrid_executor_red={"instance": "airflow"})


@pytest.mark.parametrize(
    ("red", "blue", "words"),
    [
        ("redis://:a@host/1", "redis://:b@HOST:6379/1", "global_keyprefix to another prefix"),
        ("amqp://red:a@rabbit/tasks", "amqp://blue:b@rabbit/tasks", "another Redis database or virtual host"),
    ],
)
def test_two_teams_with_the_same_queues_are_refused(red: str, blue: str, words: str) -> None:
    prefix = {"global_keyprefix": ""}
    with pytest.raises(ConfigError, match=f"same Celery broker.*{words}"):
        apart(
            celery_red={"broker_url": red},
            celery_blue={"broker_url": blue},
            celery_broker_transport_options_red=prefix,
            celery_broker_transport_options_blue=prefix,
        )


def test_teams_without_workers_may_name_the_same_broker() -> None:
    apart(
        f"LocalExecutor;red=hybrid_executor.KubernetesExecutor;blue={OURS}",
        celery_red={"broker_url": "amqp://rabbit/tasks"},
        celery_blue={"broker_url": "amqp://rabbit/tasks"},
    )


def test_two_of_our_executors_for_the_same_team_are_refused() -> None:
    with pytest.raises(ConfigError, match="for the team 'red'\\. They would use the same Redis keys"):
        apart(f"LocalExecutor;red={OURS},hybrid_executor.KubernetesExecutor")


def test_a_team_with_wrong_settings_keeps_no_other_from_starting() -> None:
    apart(hybrid_executor_red={"routes": "nonsense"})


# ---- which tasks ----


def test_airflow_gives_a_named_executor_of_all_teams_before_one_of_the_team() -> None:
    conf = config("red", executor=f"{OURS};red=reds:{OURS}")
    share = read_share(conf)
    assert share is not None
    assert (share.is_default, share.names) == (True, frozenset({"reds"}))
    assert read_share(config(multi_team="False")) is None


# ---- words ----


def test_a_message_has_options_variables_and_commands_as_the_team_writes_them() -> None:
    told = in_words_of(
        "red",
        "Set [hybrid_executor] routes (AIRFLOW__HYBRID_EXECUTOR__ROUTES) or [core] executor; "
        "run airflow hybrid worker -q etl, 'airflow hybrid status' or airflow hybrid standalone",
    )
    assert told == (
        "Set [red=hybrid_executor] routes (AIRFLOW__RED___HYBRID_EXECUTOR__ROUTES) or [core] executor; "
        "run airflow hybrid worker --team red -q etl, 'airflow hybrid status --team red' or airflow hybrid standalone"
    )
    assert in_words_of("red", told) == told
    assert in_words_of("", "[celery] pool") == "[celery] pool"


def test_an_error_says_whose_option_is_wrong() -> None:
    with (
        pytest.raises(ConfigError, match=r"Team 'red': \[red=hybrid_executor\] agent = 'x' is not valid"),
        words_of("red"),
    ):
        read_settings(config("red", x__agent="x"))


# ---- options without effect ----


@pytest.mark.parametrize(
    ("text", "variables", "words"),
    [
        ("[red=hybrid_executor]\nroute = x", {}, "[red=hybrid_executor] route has no effect: there is no such option."),
        ("[rde=hybrid_executor]\nroutes = x", {}, "the team 'rde' has no executor of this project"),
        ("", {"AIRFLOW__RED___HYBRID_EXECUTOR__ROUTE": "x"}, "AIRFLOW__RED___HYBRID_EXECUTOR__ROUTE has no effect"),
        ("", {"AIRFLOW__RED__HYBRID_EXECUTOR__ROUTES": "x"}, "with three underscores after the team"),
    ],
)
def test_an_option_of_a_team_without_effect_is_named(text: str, variables: dict[str, str], words: str) -> None:
    parser = AirflowConfigParser()
    parser.read_string(text)
    [found] = find_suspects(parser, variables, teams=["red", "blue"])
    assert words in found


def test_right_options_of_teams_are_no_suspects() -> None:
    parser = AirflowConfigParser()
    parser.read_string("[red=hybrid_executor]\nroutes = *=celery\n[green=celery]\npool = prefork\n")
    variables = {"AIRFLOW__BLUE___HYBRID_EXECUTOR__ROUTES": "x", "AIRFLOW__RED___CELERY__BROKER_URL_CMD": "x"}
    assert find_suspects(parser, variables, teams=["red", "blue"]) == []


def test_the_configuration_of_this_process_has_no_team() -> None:
    assert airflow_config().team == ""
