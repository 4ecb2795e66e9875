"""Which limits operators change: all that the proxies know of."""

from dataclasses import fields

from aldea.redis.schema import ProjectRecord
from backend.operators.models import ChangePlanLimits, ProjectLimits
from backend.projects.repository import Limited


def test_every_limit_can_be_seen_and_changed() -> None:
    limits = Limited(state="active", requests_per_minute=1, concurrent_streams=2, monthly_audio_seconds=3).limits
    assert list(limits.values()) == [1, 2, 3]
    assert set(limits) == set(ChangePlanLimits.model_fields) == set(ProjectLimits.model_fields)
    # A budget is the owners' own: backend.limits.
    other = {"state", "account_id", "monthly_budget_micros"}
    assert len(limits) == len([field for field in fields(ProjectRecord) if field.name not in other])
