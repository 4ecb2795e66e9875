"""Operators' operations on a project's credit. A credit is never changed: another one corrects it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from aiohttp import web

from aldea.postgres import Database
from backend.api.endpoint import Actor
from backend.changes import Changes, UnitOfWork
from backend.credits import repository
from backend.credits.errors import CreditTaken, ExpiryUnusable
from backend.prices.service import moment
from backend.projects import repository as projects
from backend.projects.errors import no_such_project
from backend.usage.money import MICROS

# As many as a page shows: a project gets a few in a year.
SHOWN: Final = 200
LONGEST: Final = timedelta(days=3660)


class CreditService:
    """The credits of all projects."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes

    async def of(self, project_id: str) -> list[repository.CreditRow]:
        """A project's credits, newest first. Raises ProjectGone."""
        async with self._database.connection() as connection:
            if await projects.by_id(connection, project_id) is None:
                raise no_such_project()
            return await repository.newest(connection, project_id, SHOWN)

    async def grant(
        self,
        actor: Actor,
        project_id: str,
        credit_id: str,
        *,
        kind: str,
        amount_micros: int,
        note: str,
        expires: date | None,
    ) -> repository.CreditRow:
        """Credit a project's account once, however often it is requested with the same id.

        Raises ProjectGone, CreditTaken, ExpiryUnusable.
        """
        ends = None if expires is None else moment(expires)
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            if await projects.by_id(connection, project_id) is None:
                raise no_such_project()
            made = await repository.insert(
                connection, project_id, amount_micros, note, credit_id, kind=kind, expires=ends, actor=actor
            )
            if made is not None:
                _refuse_unusable(ends)
                _declare(
                    change,
                    project_id,
                    made,
                    **({"kind": kind} if kind == "refund" else {}),
                    **({} if ends is None else {"expires": ends.isoformat()}),
                )
                return made
            found = await repository.by_id(connection, credit_id)
        said = (project_id, kind, amount_micros, note, ends)
        if found is None or (found.project_id, found.kind, found.amount_micros, found.note, found.expires) != said:
            raise CreditTaken(f"credit_id: {credit_id} is another credit's. Choose a new UUID for a new credit.")
        return found

    async def plan(self, project_id: str) -> repository.AccountPlan:
        """How a project's billing account pays. Raises ProjectGone."""
        async with self._database.connection() as connection:
            found = await repository.plan_of(connection, project_id)
        if found is None:
            raise no_such_project()
        return found

    async def set_plan(self, actor: Actor, project_id: str, plan: str, credit_limit_micros: int | None) -> None:
        """Give a project's billing account a plan and a credit limit; the same again changes nothing.

        Raises ProjectGone.
        """
        async with self._changes.transaction(actor) as change:
            row = await repository.lock_plan(change.connection, project_id)
            if row is None:
                raise no_such_project()
            if (row.plan, row.credit_limit_micros) == (plan, credit_limit_micros):
                return
            await repository.set_plan(change.connection, row.account_id, plan, credit_limit_micros)
            limit = {} if credit_limit_micros is None else {"credit_limit_micros": credit_limit_micros}
            change.billing(row.account_id, "project.plan", project_id=project_id, plan=plan, before=row.plan, **limit)


async def welcome(change: UnitOfWork, project_id: str, usd: Decimal) -> None:
    """Give the account of a new project its welcome credit, unless it has had it, inside the caller's transaction."""
    if not usd:
        return
    made = await repository.welcome(change.connection, project_id, round(usd * MICROS))
    if made is not None:
        _declare(change, project_id, made)


def _declare(change: UnitOfWork, project_id: str, made: repository.CreditRow, **more: str) -> None:
    change.billing(
        made.account_id,
        "project.credit",
        project_id=project_id,
        credit_id=made.credit_id,
        amount_micros=made.amount_micros,
        note=made.note,
        **more,
    )


def _refuse_unusable(ends: datetime | None) -> None:
    now = datetime.now(UTC)
    if ends is not None and not now < ends <= now + LONGEST:
        raise ExpiryUnusable(
            f"expires: got {ends:%Y-%m-%dT%H:%M:%SZ}; allowed: a time to come, until {now + LONGEST:%Y-%m-%d}, or none."
        )


CREDITS: Final = web.AppKey("credits", CreditService)
