"""The API server's own warnings (deprecated or unknown fields, repeated variables): logged once each."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence

log = logging.getLogger(__name__)

_MOST = 200
# RFC 7234: 299 agent "text"; quotes in the text are escaped.
_TEXT = re.compile(r'\d{3} \S+ "((?:[^"\\]|\\.)*)"')


class ApiWarnings:
    """Warnings of one API server. Safe for several threads.

    :ivar texts: all warnings so far, in their order; at most 200 are remembered.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._lock = threading.Lock()

    def hear(self, headers: Sequence[str], *, doing: str) -> None:
        """Read the ``Warning`` headers of an answer."""
        for header in headers:
            for text in _TEXT.findall(header):
                plain = re.sub(r"\\(.)", r"\1", text)
                with self._lock:
                    is_news = plain not in self.texts and len(self.texts) < _MOST
                    if is_news:
                        self.texts.append(plain)
                if is_news:
                    log.warning("The Kubernetes API warns (logged once): %s (%s)", plain, doing)
