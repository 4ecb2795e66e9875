"""Which limits operators change: all that the proxies know of."""

from dataclasses import fields

from aldea.redis.schema import ProjectRecord
from backend.operators.models import ChangeLimits, ProjectLimits
from backend.operators.service import LIMITS


def test_every_limit_can_be_seen_and_changed() -> None:
    assert set(LIMITS) == set(ChangeLimits.model_fields) == set(ProjectLimits.model_fields)
    assert len(LIMITS) == len(
        [field for field in fields(ProjectRecord) if field.name not in {"state", "balance_spent"}]
    )
