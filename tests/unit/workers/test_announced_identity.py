"""A worker announces its versions, and fingerprints of the secrets that are set for it."""

from __future__ import annotations

from hybrid_executor.config import DictConfig
from hybrid_executor.config.identity import read_fingerprints, read_secrets
from hybrid_workers.activity import Activity, WorkerCard
from hybrid_workers.deployment import read_deployment

CONF = DictConfig(
    {
        "hybrid_executor": {"redis_url": "redis://redis:6379/0", "instance": "blue"},
        "core": {"fernet_key": "a-key-of-this-deployment"},
    }
)


def test_the_announcement_has_the_fingerprint_that_others_compare_with() -> None:
    told = WorkerCard(name="w", identity=read_deployment(CONF).identity).describe(Activity())
    assert read_secrets(told) == read_fingerprints(CONF, instance="blue")
    assert "core.fernet_key" in read_secrets(told)
    assert told["airflow"]
    assert "a-key-of-this-deployment" not in str(told)
