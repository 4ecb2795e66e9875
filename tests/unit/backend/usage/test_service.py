"""Pages and sums, over a database that returns results from a list."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest

from aldea import turns
from aldea.errors import TooManyRequests
from backend.usage import service as subject
from backend.usage.errors import DayNotKept, PageUnusable, RequestGone, TooManyGroups
from backend.usage.export import CsvFile
from backend.usage.filters import Filters
from backend.usage.paging import Place
from backend.usage.period import DAY_MS, Period, start_of
from backend.usage.rows import Amounts
from backend.usage.service import UsageService
from tests.unit.aldea.test_turns import another

DAY = date(2026, 3, 31)
PERIOD = Period(start_of(DAY), start_of(DAY) + 2 * DAY_MS)
ID = "018f0000-0000-7000-8000-000000000001"


class Responses:
    """A connection whose next result is the next of a list."""

    def __init__(self, *responses: list[dict[str, Any]]) -> None:
        self.responses = list(responses)
        self.queries: list[tuple[Any, ...]] = []

    async def fetch(self, *query: Any) -> list[dict[str, Any]]:
        self.queries.append(query)
        return self.responses.pop(0)

    async def fetchval(self, *query: Any) -> Any:
        return next(iter((await self.fetch(*query))[0].values()))

    async def fetchrow(self, *query: Any) -> dict[str, Any] | None:
        return next(iter(await self.fetch(*query)), None)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Responses"]:
        yield self

    @asynccontextmanager
    async def transaction(self, _isolation: str) -> AsyncIterator["Responses"]:
        yield self


class Settings:
    usage_max_days = 31
    usage_retention_months = 2


def amounts(**changes: Any) -> dict[str, Any]:
    return {
        "requests": 1,
        "audio_ms": 5,
        "connection_ms": 1,
        "bytes_in": 2,
        "bytes_out": 3,
        "charge_micros": 7,
        **changes,
    }


def service(*responses: list[dict[str, Any]]) -> tuple[UsageService, Responses]:
    database: Any = Responses(*responses)
    settings: Any = Settings()
    return UsageService(database, settings), database


ROW: dict[str, Any] = {
    "request_id": ID, "started_ms": 1, "project_id": "p", "key_id": "k", "service": "streaming", "lane": "l",
    "path": "/", "endpoint": "other", "tags": [], "rank": 2, "audio_ms": 3, "channels": 1, "connection_ms": 1,
    "bytes_in": 5, "bytes_out": 6, "status": 101, "close_code": None, "price_id": 4, "charge_micros": 8, "model": "",
    "features": [], "failovers": 0, "first_word_ms": None,
}  # fmt: skip


def rows(count: int) -> list[dict[str, Any]]:
    return [ROW | {"started_ms": PERIOD.end_ms - 1 - n} for n in range(count)]


async def test_one_row_more_than_the_limit_means_that_there_is_another_page() -> None:
    usage, _ = service(rows(3))
    page = await usage.requests("p", PERIOD, Filters(), page=0, limit=2)
    assert len(page.rows) == 2
    assert page.next_token == Place(PERIOD, PERIOD.end_ms - 2, ID).token()


async def test_the_last_page_has_no_next() -> None:
    usage, database = service(rows(2))
    page = await usage.requests("p", PERIOD, Filters(), page=3, limit=2)
    assert page.next_token is None
    assert database.queries[0][-2:] == (3, 6)


async def test_pages_are_counted_to_only_so_far() -> None:
    usage, _ = service(rows(0))
    await usage.requests("p", PERIOD, Filters(), page=9, limit=1000)
    with pytest.raises(PageUnusable, match="page_token"):
        await usage.requests("p", PERIOD, Filters(), page=10, limit=1000)


async def test_a_token_brings_its_period_and_its_place() -> None:
    usage, database = service(rows(1))
    await usage.requests_behind("p", Place(PERIOD, PERIOD.end_ms - 2, ID).token(), Filters(), limit=5)
    assert PERIOD.start_ms in database.queries[0]
    assert PERIOD.end_ms - 2 in database.queries[0]


async def test_a_tokens_period_is_bounded_as_any_other() -> None:
    usage, _ = service()
    long = Period(PERIOD.start_ms, PERIOD.start_ms + 32 * DAY_MS)
    with pytest.raises(PageUnusable, match="longer"):
        await usage.requests_behind("p", Place(long, PERIOD.start_ms, ID).token(), Filters(), limit=5)


async def test_a_request_that_does_not_exist_is_not_found() -> None:
    usage, _ = service([])
    with pytest.raises(RequestGone):
        await usage.request("p", ID)


async def test_days_without_usage_are_shown_as_such() -> None:
    second = date(2026, 4, 1)
    usage, _ = service([amounts(day=second, requests=2)])
    summed = await usage.by_day("p", PERIOD, Filters())
    assert [(row.day, row.requests, row.audio_ms) for row in summed.rows] == [(DAY, 0, 0), (second, 2, 5)]
    assert summed.total == Amounts(**amounts(requests=2))


async def test_groups_by_tag_overlap_so_the_total_is_counted_by_itself() -> None:
    groups = [amounts(tag=tag) for tag in ("a", "b")]
    usage, _ = service(groups, [amounts()])
    assert (await usage.by_group("p", PERIOD, Filters(), ("tag",))).total.requests == 1


async def test_groups_without_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MAX_GROUPS", 1)
    usage, _ = service([amounts()] * 2)
    with pytest.raises(TooManyGroups, match="more than 1 groups"):
        await usage.by_group("p", PERIOD, Filters(), ("accessor",))


async def test_an_export_goes_on_behind_its_last_request_until_a_batch_is_not_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subject, "EXPORT_ROWS", 2)
    usage, database = service([ROW, {**ROW, "started_ms": 2}], [{**ROW, "started_ms": 3}])
    pieces = [piece async for piece in usage.export_requests("p", PERIOD, Filters(), CsvFile())]
    assert [piece.count(b"\r\n") for piece in pieces] == [1, 2, 1]
    assert database.queries[1][-3:-1] == (2, ID)


async def test_exports_at_a_time_are_bounded_and_an_abandoned_one_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MAX_EXPORTS", 1)
    usage, _ = service([])
    begun = usage.export_requests("p", PERIOD, Filters(), CsvFile())
    await anext(begun)
    with pytest.raises(TooManyRequests):
        await anext(usage.export_requests("p", PERIOD, Filters(), CsvFile()))
    await begun.aclose()
    assert len([piece async for piece in usage.export_requests("p", PERIOD, Filters(), CsvFile())]) == 1


async def test_exports_of_one_project_leave_room_for_those_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    usage, _ = service(*[[]] * 20)
    begun = [usage.export_requests("a", PERIOD, Filters(), CsvFile()) for _ in range(subject.MAX_EXPORTS)]
    for one in begun:
        await anext(one)
    with pytest.raises(TooManyRequests, match="4 exports of this project"):
        await anext(usage.export_requests("a", PERIOD, Filters(), CsvFile()))
    assert len([piece async for piece in usage.export_requests("b", PERIOD, Filters(), CsvFile())]) == 1
    monkeypatch.setattr(subject, "MAX_EXPORTS_TOGETHER", 4)
    with pytest.raises(TooManyRequests, match="4 exports are"):
        await anext(usage.export_requests("b", PERIOD, Filters(), CsvFile()))
    for one in begun:
        await one.aclose()
    assert not usage._exports, "a project without an export is not remembered"


async def test_a_client_that_reads_slowly_keeps_no_other_export_from_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "EXPORT_ROWS", 1)
    usage, _ = service(*[[ROW]] * 4 * subject.MAX_AT_WORK, [])
    slow = [usage.export_requests(f"p{n}", PERIOD, Filters(), CsvFile()) for n in range(2 * subject.MAX_AT_WORK)]
    for one in slow:
        assert await anext(one)
        assert await anext(one)
    assert not usage._at_work.locked()
    for one in slow:
        await one.aclose()


async def test_a_day_whose_requests_were_dropped_cannot_be_checked() -> None:
    usage, _ = service()
    with pytest.raises(DayNotKept, match="allowed: from"):
        await usage.reconcile("p", date(2020, 1, 1))


async def test_spend_is_what_the_periods_requests_were_charged_whatever_an_hour_costs_now() -> None:
    usage, _ = service([amounts(audio_ms=5_400_000, charge_micros=11)], [{"micros_per_hour": 360_000}])
    assert await usage.spend("p", PERIOD) == (11, 5_400_000, 360_000)


async def test_others_have_their_turn_while_an_export_or_a_breakdown_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0)
    usage, _ = service([ROW | {"tags": ["\t" * 512] * 16}] * 400)
    async with another() as turn:
        pieces = [piece async for piece in usage.export_requests("p", PERIOD, Filters(), CsvFile())]
        assert turn[0] >= 400
    assert b"".join(pieces).count(b"\r\n") == 401
    usage, _ = service([amounts(tag=str(n)) for n in range(300)])
    async with another() as turn:
        summed = await usage.by_group("p", PERIOD, Filters(), ("accessor",))
        assert turn[0] >= 600
    assert summed.total == Amounts(
        requests=300, audio_ms=1500, connection_ms=300, bytes_in=600, bytes_out=900, charge_micros=2100
    )
