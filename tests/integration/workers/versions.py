"""A bundle whose versions are folders of one folder, as Git bundles have theirs; without a version it is the newest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle


class Versions(BaseDagBundle):
    """See the module."""

    supports_versioning = True

    def __init__(self, *, path: str, **named: Any) -> None:
        super().__init__(**named)
        self._folder = Path(path)

    @property
    def path(self) -> Path:
        """The folder of the version."""
        return self._folder / self.version if self.version else max(self._folder.glob("v*"))

    def get_current_version(self) -> str:
        """Return the version."""
        return self.path.name

    def refresh(self) -> None:
        """Do nothing: there is nowhere to get files from."""
