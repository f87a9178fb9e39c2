"""Changes of single lines in an ``airflow.cfg`` and in files with environment variables."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
import yaml

from hybrid_executor.errors import ConfigError
from hybrid_executor.migration.config_text import ConfigText
from hybrid_executor.migration.configuration import Configuration, diff
from hybrid_executor.migration.environment import EnvironmentText

CORPUS = Path(__file__).parents[2] / "migration_corpus"
CONFIGS = sorted(CORPUS.glob("*.cfg"))


def config(text: str) -> ConfigText:
    return ConfigText("airflow.cfg", text)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_values_are_those_that_the_standard_parser_finds(path: Path) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(path.read_text())
    expected = {
        section.lower(): {name: value.replace("%%", "%") for name, value in parser.items(section)}
        for section in parser.sections()
    }
    assert config(path.read_text()).values == expected


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_changed_option_changes_no_other_line(path: Path) -> None:
    text = path.read_text()
    changed = config(text).with_option("core", "executor", "new.Executor")
    assert changed.values["core"]["executor"] == "new.Executor"
    before = config(text).values
    before["core"]["executor"] = "new.Executor"
    assert changed.values == before
    comments = [line.strip() for line in text.splitlines() if line.strip().startswith("#")]
    assert [line for line in changed.text.splitlines() if line.startswith("#")] == comments


def test_a_new_option_goes_to_the_end_of_its_section_and_a_new_section_to_the_end_of_the_file() -> None:
    text = "[a]\n# one\none = 1\n\n# about b\n[b]\ntwo = 2\n"
    changed = config(text).with_option("a", "more", "50%").with_option("c", "three", "3")
    assert changed.text == ("[a]\n# one\none = 1\nmore = 50%%\n\n# about b\n[b]\ntwo = 2\n\n[c]\nthree = 3\n")
    assert changed.values["a"]["more"] == "50%"


def test_a_removed_option_leaves_its_comment() -> None:
    text = "[a]\n# why\none = 1,\n   2\ntwo = 2\n"
    assert config(text).without_option("a", "one").text == "[a]\n# why\ntwo = 2\n"


def test_comments_between_the_lines_of_a_value_stay() -> None:
    text = "[a]\none = 1,\n  # why\n  2\ntwo = 2\n"
    assert config(text).with_option("a", "one", "3").text == "[a]\n# why\none = 3\ntwo = 2\n"
    assert config(text).without_option("a", "one").text == "[a]\n# why\ntwo = 2\n"


def test_a_file_that_airflow_cannot_read_is_an_error_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"airflow\.cfg cannot be read.*line.*2"):
        config("[core]\n[core]\n").check()


FORMS = {
    "shell": ("export AIRFLOW__CORE__EXECUTOR='Old'  # why\n", "export AIRFLOW__CORE__EXECUTOR='New'  # why\n"),
    ".env": ("AIRFLOW__CORE__EXECUTOR=Old\n", "AIRFLOW__CORE__EXECUTOR=New\n"),
    "Compose, mapping": ('  AIRFLOW__CORE__EXECUTOR: "Old"\n', '  AIRFLOW__CORE__EXECUTOR: "New"\n'),
    "Compose, list": ("  - AIRFLOW__CORE__EXECUTOR=Old\n", "  - AIRFLOW__CORE__EXECUTOR=New\n"),
    "Compose, quoted list": ('  - "AIRFLOW__CORE__EXECUTOR=Old"\n', '  - "AIRFLOW__CORE__EXECUTOR=New"\n'),
    "Helm": (
        "  - name: AIRFLOW__CORE__EXECUTOR\n    value: Old  # why\n",
        "  - name: AIRFLOW__CORE__EXECUTOR\n    value: New  # why\n",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_variable_is_read_and_changed_in_every_form(form: str) -> None:
    before, after = FORMS[form]
    file = EnvironmentText("env", before)
    assert file.variables == {"AIRFLOW__CORE__EXECUTOR": "Old"}
    assert file.with_variable("AIRFLOW__CORE__EXECUTOR", "New").text == after
    assert file.with_variable("AIRFLOW__CORE__EXECUTOR", None).text.strip() == ""


@pytest.mark.parametrize("form", FORMS)
def test_a_new_variable_has_the_form_of_the_others_and_is_read_back(form: str) -> None:
    before, _ = FORMS[form]
    changed = EnvironmentText("env", before).with_variable("AIRFLOW__HYBRID_EXECUTOR__ROUTES", "*=celery")
    assert changed.variables["AIRFLOW__HYBRID_EXECUTOR__ROUTES"] == "*=celery"
    if form in ("Compose, mapping", "Helm", "Compose, list", "Compose, quoted list"):
        assert "*=celery" in str(yaml.safe_load(changed.text))


def test_the_default_of_a_reference_counts_and_a_reference_without_one_is_not_known() -> None:
    text = "AIRFLOW__CORE__EXECUTOR: ${EXECUTOR:-CeleryExecutor}\nAIRFLOW__CELERY__BROKER_URL: ${BROKER}\n"
    configuration = Configuration(environment_file=EnvironmentText("env", text))
    assert configuration.get("core", "executor") == "CeleryExecutor"
    assert configuration.is_hidden("celery", "broker_url")
    assert configuration.source().get("celery", "broker_url") is None


def test_a_variable_whose_value_is_in_a_secret_is_set_but_not_known() -> None:
    text = (
        "env:\n  - name: AIRFLOW__CELERY__BROKER_URL\n    valueFrom:\n      secretKeyRef: {name: broker, key: url}\n"
        "  - name: AIRFLOW__CORE__EXECUTOR\n    value: CeleryExecutor\n"
    )
    configuration = Configuration(environment_file=EnvironmentText("values.yaml", text))
    assert configuration.place_of("celery", "broker_url") == "environment"
    assert configuration.is_hidden("celery", "broker_url")
    assert configuration.get("celery", "broker_url") is None
    bare = Configuration(environment_file=EnvironmentText("compose", "  - AIRFLOW__API_AUTH__JWT_SECRET\n"))
    assert bare.is_hidden("api_auth", "jwt_secret")


def test_an_option_is_changed_where_it_counts() -> None:
    file = config("[core]\nexecutor = A\n")
    both = Configuration(file, {"AIRFLOW__CORE__EXECUTOR": "B"})
    assert both.get("core", "executor") == "B"
    changed = both.set("core", "executor", "C")
    assert changed.variables == {"AIRFLOW__CORE__EXECUTOR": "C"}
    assert changed.file == file


def test_a_diff_shows_no_secret() -> None:
    text = (
        "[core]\nfernet_key = f3rnet\nexecutor = A\n[celery]\nbroker_url = redis://:p4ss@redis/0\n"
        "flower_basic_auth = user:p4ss\n[database]\nsql_alchemy_conn = postgresql://a:p4ss@db/a\n"
    )
    old = Configuration(config(text))
    new = old.set("core", "executor", "B").set("celery", "broker_url", "redis://u:0ther@redis/1")
    new = new.set("hybrid_executor", "redis_url", "redis://plain:6379/0")
    shown = diff(old, new)
    assert "-executor = A" in shown
    assert "+redis_url = redis://plain:6379/0" in shown
    assert not {word for word in ("f3rnet", "p4ss", "0ther") if word in shown}
