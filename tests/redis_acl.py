"""The ACL rules that docs/redis.md prints, as a user copies them."""

from __future__ import annotations

import re
from pathlib import Path

import redis

PASSWORD = "change-me"
_PAGE = Path(__file__).parents[1] / "docs" / "redis.md"
_BLOCK = re.compile(r"^```text acl=(\w+)\nuser (\S+) (.+)\n```$", re.MULTILINE)


def documented_rules() -> dict[str, tuple[str, list[str]]]:
    """Return user and rules by part."""
    return {part: (user, rules.split()) for part, user, rules in _BLOCK.findall(_PAGE.read_text(encoding="utf-8"))}


def create_user(client: redis.Redis, user: str, rules: list[str]) -> None:
    """Make a user who may do what the rules say and nothing else."""
    client.execute_command("ACL", "SETUSER", user, "reset", *rules)
