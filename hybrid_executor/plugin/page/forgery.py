"""Protection of actions against forged requests: another web site must not press a button with the user's cookie.

Airflow's own API needs no such protection, because browsers do not send JSON to another site without asking it first.
They do send forms. So a form needs a token that only our page holds, and must come from the same origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer

_SALT = "hybrid_executor.page"
_TOKEN_SECONDS = 8 * 3600


class Tokens:
    """Signed texts. Every API server of a deployment accepts them, because ``[api] secret_key`` is the same on all."""

    def __init__(self, secret_key: str) -> None:
        self._form = URLSafeTimedSerializer(secret_key, salt=f"{_SALT}.form")
        self._notice = URLSafeTimedSerializer(secret_key, salt=f"{_SALT}.notice")

    def make_form(self, user_id: str) -> str:
        """Return a token for the forms of a user."""
        return str(self._form.dumps(user_id))

    def is_form(self, token: str, user_id: str) -> bool:
        """Return whether the token was made for this user within the last eight hours."""
        try:
            return bool(self._form.loads(token, max_age=_TOKEN_SECONDS) == user_id)
        except BadSignature:
            return False

    def make_notice(self, words: str, *, is_good: bool) -> str:
        """Return a sentence for the next page's address, so that nobody else can put words there."""
        return str(self._notice.dumps([words, is_good]))

    def read_notice(self, text: str) -> tuple[str, bool] | None:
        """Return the sentence, and whether it tells a success; ``None`` if it is not ours or older than a minute."""
        try:
            words, is_good = self._notice.loads(text, max_age=60)
        except (BadSignature, ValueError, TypeError):
            return None
        return str(words), bool(is_good)


def comes_from_us(headers: Mapping[str, str], *, base_url: str) -> bool:
    """Return whether a browser says that a request comes from a page of the same origin.

    Old browsers, and new ones on plain HTTP, do not send ``Sec-Fetch-Site``, but all send ``Origin`` with a form.

    :param headers: names in lower case.
    :param base_url: ``[api] base_url``; a proxy may have changed the header ``Host``.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(headers.get("origin", ""))
    if not origin.netloc:
        return False
    base = urlsplit(base_url)
    return origin.netloc == headers.get("host") or (origin.scheme, origin.netloc) == (base.scheme, base.netloc)
