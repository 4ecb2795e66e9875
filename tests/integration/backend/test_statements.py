"""Statements on a real PostgreSQL: a closed month is never changed, and no charge is stated twice or not at all."""

import asyncio
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from aldea.ids import new_request_id
from aldea.postgres import Database
from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank, UsageReading
from backend.credits import repository as credits_of
from backend.statements.repository import Line
from backend.statements.service import Statement, StatementService, after, before, begin
from backend.usage import repository as usage
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.integration.backend.test_ledger import account
from tests.integration.conftest import Api, Tenant
from tests.readings import KEY

# Three months, as dates of their first days.
FIRST = LAST = THIS = date.min


@pytest.fixture(autouse=True)
def months(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of the test itself: tests are collected long before the last of them runs, perhaps on another day."""
    this = datetime.now(UTC).date().replace(day=1)
    for name, month in (("FIRST", before(before(this))), ("LAST", before(this)), ("THIS", this)):
        monkeypatch.setitem(globals(), name, month)


def reading(project_id: str, day: date, audio_ms: int, request_id: str = "", **more: Any) -> UsageReading:
    """Of a request that began at noon. At 0.36 dollars an hour a second costs 100 micro-dollars."""
    common: dict[str, Any] = {
        "key_id": KEY,
        "service": "streaming",
        "lane": "l",
        "path": "/v1/listen",
        "rank": Rank.OPEN,
    }
    return UsageReading(
        request_id=request_id or new_request_id(), project_id=project_id, audio_ms=audio_ms, seq=audio_ms,
        started_ms=int((begin(day) + timedelta(hours=12)).timestamp() * 1000), **{**common, **more},
    )  # fmt: skip


class Books:
    """The statements of one account, at a time that the test sets, and what is written meanwhile."""

    def __init__(self, database: Database, project_id: str) -> None:
        self.database = database
        self.project_id = project_id
        self.now = begin(THIS) + timedelta(days=10)
        self.service = StatementService(database, now=lambda: self.now)

    async def of(self, month: date) -> Statement:
        return await self.service.of_project(self.project_id, f"{month:%Y-%m}")

    async def write(self, *readings: UsageReading) -> None:
        await Writer(self.database).merge(reduce_batch(Stamped(one, 0) for one in readings))

    async def balance(self) -> int:
        async with self.database.connection() as connection:
            return (await usage.balance(connection, self.project_id)).amount_micros


def short(lines: list[Line]) -> list[tuple[date, str, int, int]]:
    return [(one.day, one.model, one.requests, one.charge_micros) for one in lines]


@pytest.fixture
async def books(database: Database) -> Books:
    [project_id] = await account(database, "ann", 1)
    return Books(database, project_id)


async def test_a_closed_month_stays_as_it_is_and_what_comes_late_is_a_line_of_the_next(books: Books) -> None:
    fifth, third = FIRST + timedelta(days=4), LAST + timedelta(days=2)
    early = reading(books.project_id, fifth, 1000, model="fast")
    await books.write(early, reading(books.project_id, fifth, 500), reading(books.project_id, third, 2000))
    async with books.database.transaction() as connection:
        await credits_of.insert(connection, books.project_id, 5000, "x")
    first = await books.of(FIRST)
    assert (first.closed, first.opening_micros, first.closing_micros) == (True, 0, -150)
    assert short(first.lines) == [(fifth, "", 1, 50), (fifth, "fast", 1, 100)]
    # Its request goes on, and another one of that day arrives.
    await books.write(
        reading(books.project_id, fifth, 3000, early.request_id, model="fast"), reading(books.project_id, fifth, 700)
    )
    assert await books.of(FIRST) == first
    last = await books.of(LAST)
    assert (last.opening_micros, last.closing_micros) == (-150, -150 - 70 - 200 - 200)
    assert short(last.lines) == [(fifth, "", 1, 70), (fifth, "fast", 0, 200), (third, "", 1, 200)]
    # The present month is open: what came too late for both is its own.
    await books.write(reading(books.project_id, third, 100), reading(books.project_id, THIS, 300))
    present = await books.of(THIS)
    assert not present.closed
    assert short(present.lines) == [(third, "", 1, 10), (THIS, "", 1, 30)]
    assert [one.amount_micros for one in present.entries] == [5000]
    assert present.closing_micros == await books.balance()
    assert [await books.of(FIRST), await books.of(LAST)] == [first, last]
    # Before anything was used nothing is stated.
    empty = await books.of(before(FIRST))
    assert (empty.closed, empty.opening_micros, empty.closing_micros, empty.lines) == (True, 0, 0, [])


async def test_in_the_first_days_of_a_month_the_one_before_is_open_too(books: Books) -> None:
    books.now = begin(THIS) + timedelta(days=1)
    await books.write(*(reading(books.project_id, day, 1000) for day in (FIRST, LAST, THIS)))
    last, present = await books.of(LAST), await books.of(THIS)
    assert (last.closed, present.closed) == (False, False)
    assert (short(last.lines), short(present.lines)) == ([(LAST, "", 1, 100)], [(THIS, "", 1, 100)])
    assert (last.opening_micros, last.closing_micros, present.opening_micros) == (-100, -200, -200)
    assert present.closing_micros == await books.balance()


async def test_whatever_arrives_when_months_are_closed_once_and_add_up_to_the_balance(books: Books) -> None:
    draw = random.Random(11)
    days = [FIRST + timedelta(days=n) for n in range((datetime.now(UTC).date() - FIRST).days + 1)]
    ids = [(new_request_id(), draw.choice(days), draw.choice(["", "fast"])) for _ in range(30)]
    said: dict[date, Statement] = {}
    for _ in range(12):
        request_id, day, model = draw.choice(ids)
        await books.write(reading(books.project_id, day, draw.randrange(90_000), request_id, model=model))
        if draw.random() < 0.5:
            async with books.database.transaction() as connection:
                await credits_of.insert(connection, books.project_id, draw.choice([-700, 900]), "x")
        for month in draw.sample([FIRST, LAST, THIS], 2):
            for found in await asyncio.gather(*(books.of(month) for _ in range(3))):
                if found.closed:
                    assert said.setdefault(month, found) == found
    present = await books.of(THIS)
    assert present.opening_micros == (await books.of(LAST)).closing_micros
    assert (await books.of(LAST)).opening_micros == (await books.of(FIRST)).closing_micros
    assert present.closing_micros == await books.balance()


async def test_a_statement_is_never_changed_nor_removed(books: Books) -> None:
    await books.write(reading(books.project_id, FIRST, 1000))
    await books.of(FIRST)
    for statement in (
        "update statements set closing_micros = 0", "delete from statement_lines", "truncate statement_lines",
    ):  # fmt: skip
        async with books.database.connection() as connection:
            with pytest.raises(asyncpg.RestrictViolationError):
                await connection.execute(statement)


async def test_statements_over_http_are_json_and_csv_of_the_project_and_of_the_account(
    api: Api, ann: Tenant, bob: Tenant
) -> None:
    day = FIRST + timedelta(days=4)
    one = reading(ann.project_id, day, 1000, model="=1+1")
    await Writer(api.database).merge([one])
    path = f"/v1/projects/{ann.project_id}/statements/{FIRST:%Y-%m}"
    found = await api.call("GET", path, ann.key)
    assert found["lines"] == [
        {
            "project_id": ann.project_id, "service": "streaming", "model": "=1+1", "day": f"{day}", "requests": 1,
            "audio_ms": 1000, "charge_micros": 100,
        }
    ]  # fmt: skip
    assert (found["month"], found["lines_micros"], found["charged_micros"], found["closing_micros"]) == (
        f"{FIRST:%Y-%m}", 100, 100, -100,
    )  # fmt: skip
    async with api.client.get(path + "/csv", headers={"Authorization": f"Bearer {ann.key}"}) as response:
        rows = (await response.text()).splitlines()
    assert rows[0].startswith("month,line,day")
    assert rows[2] == f"{FIRST:%Y-%m},charge,{day},{ann.project_id},streaming,'=1+1,1,1000,-100,"
    assert rows[3] == f"{FIRST:%Y-%m},closing balance,,,,,,,-100,"
    await api.call("GET", path, bob.key, status=404)
    await api.call("GET", f"/v1/billing/statements/{FIRST:%Y-%m}", ann.key, status=403)
    for month in ("2026", "2026-13", "2026-1", "1999-12", f"{after(THIS):%Y-%m}", "9999-12", "0000-01", "٢٠٢٦-01"):
        refused = await api.call("GET", path.replace(f"{FIRST:%Y-%m}", month), ann.key, status=400)
        assert "allowed: a month that has begun" in refused["err_msg"]
