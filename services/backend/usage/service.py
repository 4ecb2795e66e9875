"""Queries of usage: requests, sums by day and by group, and whether the two agree."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from functools import partial
from typing import Final

from aiohttp import web

from aldea.errors import TooManyRequests
from aldea.postgres import Database
from aldea.turns import in_turns
from backend.prices import repository as prices
from backend.settings import BackendSettings
from backend.usage import export, repository
from backend.usage.errors import DayNotKept, PageUnusable, RequestGone, TooManyGroups
from backend.usage.filters import Filters
from backend.usage.paging import Place, read_token
from backend.usage.period import DAY_MS, Period, kept_since, period
from backend.usage.rows import Amounts, Balance, BothSums, GroupRow, NamesUsed, RequestRow

# Pages that are counted to: PostgreSQL walks over everything before them. Tokens reach any depth at one price.
MAX_COUNTED: Final = 10_000
# Groups of one breakdown: a few megabytes of JSON.
MAX_GROUPS: Final = 10_000
# Tags, or any other names, in one list of those that were used.
MAX_NAMES: Final = 1000
# Requests that an export reads at a time: about a megabyte.
EXPORT_ROWS: Final = 2000
# Exports of one project that a process writes at a time, and of all projects: each holds a megabyte, for as long as its
# client takes to read.
MAX_EXPORTS: Final = 4
MAX_EXPORTS_TOGETHER: Final = 64
# Of these so many work at a time, batch by batch in turns; each keeps a core half busy.
MAX_AT_WORK: Final = 4
EXPORT_RETRY_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Page:
    """Requests, newest first, and the token of the page behind them (None: there is none)."""

    rows: Sequence[RequestRow]
    next_token: str | None


@dataclass(frozen=True, slots=True)
class Summed:
    """Usage of a period: a row for each group, and one for the whole."""

    period: Period
    rows: Sequence[GroupRow]
    total: Amounts


class UsageService:
    """Reads usage; what is written comes from the proxies by way of sqs_updater."""

    def __init__(self, database: Database, settings: BackendSettings) -> None:
        self._database = database
        self._settings = settings
        self._exports: Counter[str] = Counter()  # that are being written, by project
        self._at_work = asyncio.Semaphore(MAX_AT_WORK)

    def period(self, start: date | None, end: date | None) -> Period:
        """The period that a caller requested. Raises PeriodUnusable."""
        return period(start, end, max_days=self._settings.usage_max_days, today=_today())

    async def requests(self, project_id: str, period: Period, filters: Filters, *, page: int, limit: int) -> Page:
        """A page by its number. Raises PageUnusable."""
        if (page + 1) * limit > MAX_COUNTED:
            raise PageUnusable(
                f"page: got page {page} of {limit} requests; allowed: the first {MAX_COUNTED} requests by number. "
                "Go on with page_token instead, which reaches all of them."
            )
        return await self._page(project_id, period, filters, limit, skip=page * limit)

    async def requests_behind(self, project_id: str, token: str, filters: Filters, *, limit: int) -> Page:
        """The page behind the one that gave this token. Raises PageUnusable."""
        place = read_token(token)
        if place.period.end_ms - place.period.start_ms > self._settings.usage_max_days * DAY_MS:
            raise PageUnusable("page_token: its period is longer than allowed here. Begin anew with a shorter one.")
        behind = (place.started_ms, place.request_id)
        return await self._page(project_id, place.period, filters, limit, behind=behind)

    async def _page(
        self,
        project_id: str,
        period: Period,
        filters: Filters,
        limit: int,
        *,
        skip: int = 0,
        behind: tuple[int, str] | None = None,
    ) -> Page:
        async with self._database.connection() as connection:
            rows = await repository.newest(
                connection, project_id, period, filters, limit=limit + 1, skip=skip, behind=behind
            )
        if len(rows) <= limit:
            return Page(rows, None)
        last = rows[limit - 1]
        return Page(rows[:limit], Place(period, last.started_ms, last.request_id).token())

    async def request(self, project_id: str, request_id: str) -> RequestRow:
        """One request. Raises RequestGone."""
        async with self._database.connection() as connection:
            row = await repository.one(connection, project_id, request_id)
        if row is None:
            raise RequestGone("No such request in this project, or none that is kept any more.")
        return row

    async def by_day(self, project_id: str, period: Period, filters: Filters) -> Summed:
        """Usage of each day of the period, in order, days without any included."""
        summed = await self.by_group(project_id, period, filters, ("day",))
        found = {row.day: row for row in summed.rows}
        rows = [found.get(day) or GroupRow(day=day) for day in period.days]
        return Summed(period, rows, summed.total)

    async def by_group(self, project_id: str, period: Period, filters: Filters, groups: Sequence[str]) -> Summed:
        """Usage of each group that has any. Raises TooManyGroups."""
        sums = partial(repository.sums, project_id=project_id, period=period, filters=filters)
        if "tag" in groups:
            # A request counts in the group of each of its tags: only a sum of its own, of the same moment, counts it
            # once.
            async with self._database.transaction("repeatable_read") as connection:
                rows = await sums(connection, groups=groups, limit=MAX_GROUPS + 1)
                total = await _sum(await sums(connection))
        else:
            async with self._database.connection() as connection:
                rows = await sums(connection, groups=groups, limit=MAX_GROUPS + 1)
            total = await _sum(rows)
        if len(rows) > MAX_GROUPS:
            raise TooManyGroups(
                f"grouping: got more than {MAX_GROUPS} groups; allowed: as many. Request fewer days or groupings."
            )
        return Summed(period, rows, total)

    async def export_requests(
        self, project_id: str, period: Period, filters: Filters, file: export.RequestsFile
    ) -> AsyncGenerator[bytes, None]:
        """Every request of a period as a file, oldest first, each once. Raises TooManyRequests at the first piece.

        Read in batches, each from where the last one ended, and not through a cursor: a cursor would hold a connection
        of the pool, and a snapshot that stops vacuum, for as long as the client takes to read.
        """
        with self._an_export(project_id):
            yield file.opening
            behind: tuple[int, str] | None = None
            while True:
                async with self._at_work:
                    async with self._database.connection() as connection:
                        rows = await repository.oldest(
                            connection, project_id, period, filters, limit=EXPORT_ROWS, behind=behind
                        )
                    piece = await file.batch(rows) if rows else b""
                if piece:
                    yield piece
                if len(rows) < EXPORT_ROWS:
                    break
                behind = (rows[-1].started_ms, rows[-1].request_id)
            if file.closing:
                yield file.closing

    async def export_days(self, project_id: str, period: Period, filters: Filters) -> AsyncGenerator[bytes, None]:
        """Every day of a period as CSV. Raises TooManyRequests at the first piece."""
        with self._an_export(project_id):
            async with self._at_work:
                summed = await self.by_day(project_id, period, filters)
            yield export.lines([export.DAY_COLUMNS, *map(export.day_line, period.days, summed.rows)])

    @contextmanager
    def _an_export(self, project_id: str) -> Iterator[None]:
        for count, most, whose in (
            (self._exports[project_id], MAX_EXPORTS, " of this project"),
            (self._exports.total(), MAX_EXPORTS_TOGETHER, ""),
        ):
            if count >= most:
                raise TooManyRequests(
                    f"{most} exports{whose} are being written already, as many as at a time. Wait as Retry-After says.",
                    retry_after=EXPORT_RETRY_SECONDS,
                )
        self._exports[project_id] += 1
        try:
            yield
        finally:
            self._exports[project_id] -= 1
            self._exports += Counter()  # which leaves out those that have none

    async def names_used(self, project_id: str, period: Period) -> NamesUsed:
        """The tags, features, key ids and services of a period's requests."""
        async with self._database.connection() as connection:
            return await repository.names_used(connection, project_id, period, MAX_NAMES)

    async def reconcile(self, project_id: str, day: date) -> BothSums:
        """A day's totals beside the sums of its requests. Raises DayNotKept."""
        kept = kept_since(_today(), self._settings.usage_retention_months)
        if day < kept:
            raise DayNotKept(
                f"day: got {day}; allowed: from {kept} on, since when single requests are kept. "
                "The totals of earlier days are under usage."
            )
        async with self._database.connection() as connection:
            return await repository.both_sums_of_day(connection, project_id, day)

    async def spend(self, project_id: str, period: Period) -> tuple[int, int, int]:
        """What a period costs in micro-dollars, its audio in ms, and the present price of an hour of live audio."""
        async with self._database.connection() as connection:
            [row] = await repository.sums(connection, project_id, period, Filters())
            price = await prices.micros_per_hour(connection, project_id, "streaming")
        return row.charge_micros, row.audio_ms, price or 0

    async def balance(self, project_id: str) -> Balance:
        """What a project was credited with and what it has spent, ever."""
        async with self._database.connection() as connection:
            return await repository.balance(connection, project_id)


async def _sum(rows: Sequence[Amounts]) -> Amounts:
    totals = dict.fromkeys((field.name for field in fields(Amounts)), 0)
    async for row in in_turns(rows):
        for name in totals:
            totals[name] += getattr(row, name)
    return Amounts(**totals)


def _today() -> date:
    return datetime.now(UTC).date()


USAGE: Final = web.AppKey("usage", UsageService)
