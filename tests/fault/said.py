"""What the parts of a deployment have logged. Trouble that lasts is said when it begins, not each time it is met."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from tests.fault.parts import Part

# Of schedulers and workers, the lines of our own loggers; an agent is ours alone.
_OF_AIRFLOW = re.compile(r"^\S+Z \[(?:warning|error|critical) *\] (?P<words>.*?) +\[hybrid_\w+\.", re.MULTILINE)
_OF_AGENT = re.compile(r"^\d{4}-\d\d-\d\d [\d:,]+ (?:WARNING|ERROR|CRITICAL) (?P<words>.*)$", re.MULTILINE)
_VARIES = re.compile(r"\b\d+(?:\.\d+)?(?= s\b| seconds\b)|0x[0-9a-f]+|(?<=port )\d+")


def where_it_stands(parts: Mapping[str, Part]) -> dict[str, int]:
    """Return how much each part has logged until now, for :func:`warnings`."""
    return {name: len(part.output) for name, part in parts.items()}


def warnings(parts: Mapping[str, Part], since: Mapping[str, int]) -> dict[str, Counter[str]]:
    """Return our own warnings and errors of each part since then, with how often each was said.

    Durations do not count as differences. Attempts and pods do: what is said of each of them is said once of each.
    """
    found = {}
    for name, part in parts.items():
        text = part.output[since.get(name, 0) :]
        lines = [match["words"].strip() for kind in (_OF_AIRFLOW, _OF_AGENT) for match in kind.finditer(text)]
        if lines:
            found[name] = Counter(_VARIES.sub("N", line) for line in lines)
    return found


def repeated(parts: Mapping[str, Part], since: Mapping[str, int], *, most: int) -> dict[str, dict[str, int]]:
    """Return what a part has said more often than ``most`` times since then."""
    found = {
        name: {words: count for words, count in said.items() if count > most}
        for name, said in warnings(parts, since).items()
    }
    return {name: said for name, said in found.items() if said}


def summary(parts: Mapping[str, Part], since: Mapping[str, int]) -> str:
    """Return what was said, one line for each message, with the parts that said it and how often."""
    by_words: dict[str, list[str]] = {}
    for name, said in warnings(parts, since).items():
        for words, count in said.items():
            by_words.setdefault(words, []).append(f"{name}: {count}")
    return "\n".join(f"  {words} ({', '.join(who)})" for words, who in sorted(by_words.items()))
