"""The pages of the project, and the code blocks in them, as a reader sees them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FOLDERS = ("", "docs/", "benchmarks/", "kube/", "workers/manifests/", "examples/**/", "tests/**/")
PAGES = sorted({path for folder in _FOLDERS for path in ROOT.glob(f"{folder}*.md")})
_FENCE = re.compile(r"^( *)```(\S*)(.*)\n((?:.*\n)*?)\1```$", re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Z_]+=")


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    :ivar line: the line of the fence.
    :ivar language: as it is written after the fence; ``attributes`` is what follows.
    """

    page: str
    line: int
    language: str
    attributes: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The commands of a shell block as words, without comments, variables in front, redirections and output."""
        lines = re.sub(r"\\\n", " ", self.text).splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [words for words in map(_words, lines) if words]


def _words(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    while words and _ASSIGNMENT.match(words[0]):
        words.pop(0)
    end = next((index for index, word in enumerate(words) if word in (">", ">>", "|", "&&")), len(words))
    return words[:end]


def name_of(page: Path) -> str:
    """Return the page's path in the tree."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """Return the code blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(name_of(page), text.count("\n", 0, found.start()) + 1, found[2], found[3].strip(), _dedent(found))
        for found in _FENCE.finditer(text)
    ]


def _dedent(found: re.Match[str]) -> str:
    return re.sub(rf"^{found[1]}", "", found[4], flags=re.MULTILINE)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
