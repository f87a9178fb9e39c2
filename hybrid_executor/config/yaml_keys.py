"""Keys that a YAML file gives twice: the reader takes the last one and says nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from pathlib import Path

import yaml


def keys_given_twice(path: str) -> list[str]:
    """Return the keys that a YAML file gives twice, with their lines; the last one counts.

    A file that cannot be read, or is no YAML, has none: whoever uses it says what is wrong with it.
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
                    yield f"the key {key.value!r} in line {line} stands in line {first} already: the last one counts"
                lines[key.value] = line
            yield from _twice(value)
