"""Statements by month: open until the third day of the next month, then closed by the first who wants one.

A closed month is stored with its lines and never changed. A reading of it that comes later is found as a difference
between what was used on its day and what was stated for it, and is a line of the first month that is still open.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from aiohttp import web

from aldea.postgres import Connection, Database
from backend.projects.errors import no_such_project
from backend.statements import repository
from backend.statements.errors import MonthUnusable
from backend.statements.repository import Closed, Entry, Line
from backend.usage.period import FIRST_YEAR

# Longer than a stream lasts, with an outage of the pipeline: what comes later is a line of the next month.
OPEN_FOR: Final = timedelta(days=2)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MONTH: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A month of an account: its first day, whether it is closed, its balances, entries and lines."""

    month: date
    closed: bool
    opening_micros: int
    closing_micros: int
    entries: list[Entry]
    lines: list[Line]


class StatementService:
    """The statements of all accounts."""

    def __init__(self, database: Database, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._now = now

    async def of_project(self, project_id: str, text: str) -> Statement:
        """The statement of a project's account for a month, `2026-11`. Raises MonthUnusable, ProjectGone."""
        month = read_month(text, self._now())
        async with self._database.transaction() as connection:
            account_id = await repository.of_project(connection, project_id)
            if account_id is None:
                raise no_such_project()
            return await self._statement(connection, account_id, month)

    async def of_owner(self, user_id: str, text: str) -> Statement:
        """The statement of a person's own account for a month. Raises MonthUnusable, ProjectGone."""
        month = read_month(text, self._now())
        async with self._database.transaction() as connection:
            account_id = await repository.of_owner(connection, user_id)
            if account_id is None:
                raise no_such_project()
            return await self._statement(connection, account_id, month)

    async def close_due(self, connection: Connection, account_id: str) -> None:
        """Close the months that are over, and let nobody else close any until the end of the transaction."""
        await repository.lock(connection, account_id)
        now = self._now()
        for each in await self._due(connection, account_id, now.date().replace(day=1), now):
            await _close(connection, account_id, each)

    async def _statement(self, connection: Connection, account_id: str, month: date) -> Statement:
        await repository.lock(connection, account_id)
        now = self._now()
        for each in await self._due(connection, account_id, month, now):
            await _close(connection, account_id, each)
        entries = await repository.entries(connection, account_id, begin(month), begin(after(month)))
        if closes(month) > now:
            return await _open(connection, account_id, month, entries, now)
        found = await repository.closed(connection, account_id, month)
        if found is not None and found.month == month:
            return Statement(
                month=month,
                closed=True,
                opening_micros=found.opening_micros,
                closing_micros=found.closing_micros,
                entries=entries,
                lines=await repository.lines(connection, account_id, month),
            )
        # Nothing happened in it, and a later one is closed already.
        balance = 0 if found is None else found.closing_micros
        return Statement(month=month, closed=True, opening_micros=balance, closing_micros=balance, entries=[], lines=[])

    async def _due(self, connection: Connection, account_id: str, month: date, now: datetime) -> list[date]:
        """The months to close before `month` can be shown, in order, itself among them if it can be closed."""
        newest = await repository.closed(connection, account_id)
        wanted = {each for each in await repository.active(connection, account_id) if each < month} | {month}
        return sorted(each for each in wanted if closes(each) <= now and (newest is None or each > newest.month))


async def _close(connection: Connection, account_id: str, month: date) -> None:
    newest = await repository.closed(connection, account_id)
    opening = 0 if newest is None else newest.closing_micros
    entries = await repository.entries(connection, account_id, begin(month), begin(after(month)))
    lines = await repository.unstated(connection, account_id, after(month))
    closing = opening + sum(one.amount_micros for one in entries) - sum(one.charge_micros for one in lines)
    await repository.close(connection, account_id, Closed(month, opening, closing), lines)


async def _open(connection: Connection, account_id: str, month: date, entries: list[Entry], now: datetime) -> Statement:
    """A month that may still change. What came too late for closed ones is part of the first that is open."""
    newest = await repository.closed(connection, account_id)
    balance, since = (0, _EPOCH) if newest is None else (newest.closing_micros, begin(after(newest.month)))
    earlier = await repository.entries(connection, account_id, since, begin(month))
    unstated = await repository.unstated(connection, account_id, after(month))
    # In the first days of a month the one before is open, too, and has what was used until its end.
    first_open = closes(before(month)) <= now
    lines = [one for one in unstated if first_open or one.day >= month]
    charged = sum(one.charge_micros for one in lines)
    opening = (
        balance + sum(one.amount_micros for one in earlier) - (sum(one.charge_micros for one in unstated) - charged)
    )
    return Statement(
        month=month,
        closed=False,
        opening_micros=opening,
        closing_micros=opening + sum(one.amount_micros for one in entries) - charged,
        entries=entries,
        lines=lines,
    )


def read_month(text: str, now: datetime) -> date:
    """The first day of a month. Raises MonthUnusable."""
    found = date(int(text[:4]), int(text[5:]), 1) if _MONTH.fullmatch(text) and text[:4] != "0000" else None
    if found is None or not date(FIRST_YEAR, 1, 1) <= found <= now.date():
        raise MonthUnusable(
            f"month: got {text!r:.40}; allowed: a month that has begun, {FIRST_YEAR}-01 to {now:%Y-%m}, as YYYY-MM."
        )
    return found


def after(month: date) -> date:
    """The first day of the month after this one."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def before(month: date) -> date:
    """The first day of the month before this one."""
    return (month.replace(day=1) - timedelta(days=1)).replace(day=1)


def begin(day: date) -> datetime:
    """A day's first moment, UTC."""
    return datetime.combine(day, time(), UTC)


def closes(month: date) -> datetime:
    """When a month is closed: nothing of it changes from then on."""
    return begin(after(month)) + OPEN_FOR


STATEMENTS: Final = web.AppKey("statements", StatementService)
