"""Long responses are encoded as short ones are."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import to_json

from aldea import turns
from backend.api.encoding import MANY, encoded
from backend.usage.models import Amounts, Breakdown, Group, GroupUsage, Resolution
from tests.unit.aldea.test_turns import another

DAY = date(2026, 3, 31)
SUM: dict[str, Any] = {"hours": 0.1, "total_hours": 0.1, "requests": 1, "audio_ms": 360_000, "charge_micros": 36_000}


def breakdown(groups: int) -> Breakdown:
    results = [GroupUsage(grouping=Group(start=DAY, end=DAY, tags=['"\u00fc\u2028']), **SUM)] * groups
    return Breakdown(start=DAY, end=DAY, resolution=Resolution(amount=1), results=results, total=Amounts(**SUM))


class Inner(BaseModel):
    at: datetime
    note: str | None = None


class Other(BaseModel):
    short: list[int]
    inner: tuple[Inner, ...]


@pytest.mark.parametrize("items", [0, 1, MANY, MANY + 1, MANY * 3])
async def test_a_model_is_written_the_same_whatever_its_length(items: int) -> None:
    assert await encoded(breakdown(items)) == breakdown(items).model_dump_json().encode()
    other = Other(short=[1, 2], inner=(Inner(at=datetime(2026, 1, 1, tzinfo=UTC)),) * items)
    assert await encoded(other) == other.model_dump_json().encode()


@pytest.mark.parametrize("items", [0, MANY + 1])
async def test_plain_values_are_written_the_same_whatever_their_length(items: int) -> None:
    values: dict[str, Any] = {"requests": [{"created": datetime(2026, 1, 1, tzinfo=UTC), "tags": ["a"]}] * items}
    values |= {"page": 0, "next_page_token": None}
    assert await encoded(values) == to_json(values)


async def test_other_tasks_run_while_a_long_response_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0)
    async with another() as turn:
        await encoded(breakdown(1000))
        assert turn[0] >= 1000
