"""The billing page and statements."""

import re
from datetime import UTC, datetime

import pytest

from frontend.models import Statement
from frontend.pages.billing import pace
from tests.fakes.platform_api import refusal
from tests.unit.frontend.conftest import Console

NOW = datetime(2026, 11, 11, tzinfo=UTC)


def statement(charged: int, left: int) -> Statement:
    return Statement(
        month="2026-11", closed=False, closes="", opening_micros=0, credited_micros=0, charged_micros=charged,
        closing_micros=left, lines_micros=0, entries=[], lines=[],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("charged", "last", "left", "daily", "days"),
    [
        (10_000_000, None, 5_000_000, 1_000_000, 5),
        # Over both months: 41 days of October and November.
        (10_000_000, 31_000_000, 5_000_000, 1_000_000, 5),
        (0, None, 5_000_000, 0, None),
        (10_000_000, None, -5, 1_000_000, 0),
        (-5, None, 5, 0, None),
    ],
)
def test_a_balance_lasts_as_long_as_it_is_spent_at_the_present_pace(
    charged: int, last: int | None, left: int, daily: int, days: int | None
) -> None:
    before = None if last is None else statement(last, 0)
    found = pace(statement(charged, left), before, NOW)
    assert (found.daily_micros, found.days_left) == (daily, days)


async def test_the_page_shows_what_is_left_and_what_it_was_spent_on(signed_in: Console) -> None:
    signed_in.api.add_key("server")
    line = {"project_id": "p", "service": "streaming", "day": "2026-11-02", "requests": 1, "audio_ms": 1000}
    signed_in.api.statement["lines"] = [
        {**line, "model": None, "charge_micros": 250_000},
        {**line, "model": "<fast>", "charge_micros": 500_000},
    ]
    page = await signed_in.get(signed_in.project("billing"))
    assert page.status == 200
    for text in ("$20.00", "Mon, 02 Nov 2026", "$0.75", "&lt;fast&gt;", "Default", "server", "prod", "No tag", "$1.25"):
        assert text in page.text, text


async def test_a_statement_can_be_read_and_what_is_no_month_is_not_found(signed_in: Console) -> None:
    signed_in.api.statement["entries"] = [
        {"kind": "grant", "amount_micros": 5_000_000, "note": "Welcome", "created": "2026-11-01T00:00:00Z"}
    ]
    page = await signed_in.get(signed_in.project("billing/2026-11"))
    assert "Statement for November 2026" in page.text
    assert "Welcome" in page.text
    assert "data-print" in page.text
    assert re.search(r'css/print\.css" media="print"', page.text)
    for suffix, kind in (("csv", "text/csv"), ("json", "application/json")):
        assert f'href="{signed_in.project(f"billing/2026-11.{suffix}")}" download' in page.text
        file = await signed_in.get(signed_in.project(f"billing/2026-11.{suffix}"))
        assert file.headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert file.headers["Content-Disposition"] == f'attachment; filename="statement-2026-11.{suffix}"'
        assert "2026-11" in file.text
    for month in ("2026-13", "x", "2026-1", "..%2F..%2Fkeys"):
        assert (await signed_in.get(signed_in.project(f"billing/{month}"))).status == 404
    for rest in ("", "/csv"):
        signed_in.api.refuse[f"/statements/2099-01{rest}"] = lambda: refusal(400, "Bad Request", "not begun")
    for suffix in ("", ".csv", ".json"):
        assert (await signed_in.get(signed_in.project(f"billing/2099-01{suffix}"))).status == 404
        assert (await signed_in.get(signed_in.project(f"billing/2026-13{suffix}"))).status == 404
