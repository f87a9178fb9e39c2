"""Finds duplicate keys in a YAML file; the YAML library ignores all but the last one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from pathlib import Path

import yaml


def keys_given_twice(path: str) -> list[str]:
    """Return the duplicate keys of a YAML file, with their lines.

    A file that cannot be read or is not YAML has none: the code that uses it reports the problem.
    """
    try:
        document = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    return list(_twice(document)) if document is not None else []


def _twice(node: yaml.Node) -> Iterator[str]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[Hashable, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key.value, Hashable) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in lines:
                    first = lines[key.value]
                    yield f"the key {key.value!r} in line {line} is also in line {first}: the last one is used"
                lines[key.value] = line
            yield from _twice(value)
