"""How the certificate of an API server is checked.

Promise: who is trusted depends on the configured CA alone, as with kubectl, and not on the release of Python. Python
3.13 also refuses what RFC 5280 does not allow, such as a certificate without the identifier of its authority's key,
or a CA whose constraints are not marked as critical. The authorities of many clusters make such ones.
Source: https://docs.python.org/3.13/whatsnew/3.13.html#ssl
"""

from __future__ import annotations

import ssl
from typing import Any

import urllib3
from urllib3.util.ssl_ import create_urllib3_context, resolve_cert_reqs


def accept_old_forms(manager: urllib3.PoolManager) -> None:
    """Let the connections of a manager accept certificates of the CA that they were given in any form.

    Connections without a CA of their own, which trust public authorities, stay as strict as Python is.
    """
    pool: Any = manager.pool_classes_by_scheme["https"]
    connection = type("ClusterConnection", (_OfGivenAuthority, pool.ConnectionCls), {})
    of_cluster = type("ClusterConnectionPool", (pool,), {"ConnectionCls": connection})
    manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": of_cluster}


class _OfGivenAuthority:
    """Part of a urllib3 ``HTTPSConnection``; each connection reads the files of CA and certificate again."""

    ssl_context: ssl.SSLContext | None
    cert_reqs: int | str | None
    ca_certs: str | None
    ca_cert_data: str | bytes | None

    def connect(self) -> None:
        if self.ssl_context is None and (self.ca_certs or self.ca_cert_data):
            self.ssl_context = create_urllib3_context(cert_reqs=resolve_cert_reqs(self.cert_reqs))
            self.ssl_context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        super().connect()  # type: ignore[misc]
