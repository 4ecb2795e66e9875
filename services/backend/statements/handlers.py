"""The statements' endpoints: a month of a project's billing account, or of one's own, as JSON and as CSV."""

from collections.abc import AsyncGenerator
from typing import Any, Final

from aldea.turns import in_turns
from backend.api.access import InProject, SignedIn
from backend.api.download import Download
from backend.api.endpoint import Call, Endpoint
from backend.projects.errors import ProjectGone
from backend.statements import models
from backend.statements.errors import ERRORS, MonthUnusable
from backend.statements.repository import Line
from backend.statements.service import STATEMENTS, Statement, closes
from backend.usage.export import Sheet, harmless

COLUMNS: Final = (
    "month", "line", "day", "project_id", "service", "model", "requests", "audio_ms", "amount_micros", "note",
)  # fmt: skip
# Lines of one piece of a CSV file.
PIECE: Final = 1000


async def get_project_statement(call: Call) -> models.Statement:
    """A month of the project's billing account, with the lines of this project."""
    return await _shown(await _of_project(call), call.project_id)


async def get_account_statement(call: Call) -> models.Statement:
    """A month of your own billing account, with the lines of all its projects."""
    return await _shown(await _of_owner(call), None)


async def export_project_statement(call: Call) -> Download:
    """The same as a CSV file: opening balance, credits, charges, closing balance.

    Amounts are micro-dollars; those of the charges are below zero.
    """
    return _file(call, await _of_project(call), call.project_id)


async def export_account_statement(call: Call) -> Download:
    """The same as a CSV file, with the lines of all projects."""
    return _file(call, await _of_owner(call), None)


async def _of_project(call: Call) -> Statement:
    return await call.app[STATEMENTS].of_project(call.project_id, call.parameters["month"])


async def _of_owner(call: Call) -> Statement:
    return await call.app[STATEMENTS].of_owner(call.session.user_id, call.parameters["month"])


async def _shown(found: Statement, project_id: str | None) -> models.Statement:
    lines = [one async for one in in_turns(found.lines) if project_id in {None, one.project_id}]
    return models.Statement(
        month=f"{found.month:%Y-%m}",
        closed=found.closed,
        closes=closes(found.month),
        opening_micros=found.opening_micros,
        credited_micros=sum(one.amount_micros for one in found.entries),
        charged_micros=sum(one.charge_micros for one in found.lines),
        closing_micros=found.closing_micros,
        lines_micros=sum(one.charge_micros for one in lines),
        entries=[
            models.LedgerLine(
                credit_id=one.credit_id,
                kind=one.kind,
                amount_micros=one.amount_micros,
                note=one.note,
                created=one.created,
            )
            async for one in in_turns(found.entries)
        ],
        lines=[
            models.Line(
                project_id=one.project_id,
                service=one.service,
                model=one.model or None,
                day=one.day,
                requests=one.requests,
                audio_ms=one.audio_ms,
                charge_micros=one.charge_micros,
            )
            async for one in in_turns(lines)
        ],
    )


def _file(call: Call, found: Statement, project_id: str | None) -> Download:
    return Download(filename=f"statement-{call.parameters['month']}.csv", pieces=_pieces(found, project_id))


async def _pieces(found: Statement, project_id: str | None) -> AsyncGenerator[bytes, None]:
    month = f"{found.month:%Y-%m}"
    sheet = Sheet()
    sheet.add(COLUMNS)
    sheet.add(_balance(month, "opening balance", found.opening_micros))
    async for one in in_turns(found.entries):
        sheet.add((month, one.kind, one.created.date(), "", "", "", "", "", one.amount_micros, harmless(one.note)))
    yield sheet.text()
    for start in range(0, len(found.lines), PIECE):
        sheet = Sheet()
        for line in found.lines[start : start + PIECE]:
            if project_id in {None, line.project_id}:
                sheet.add(_charge(month, line))
        if text := sheet.text():
            yield text
    sheet = Sheet()
    sheet.add(_balance(month, "closing balance", found.closing_micros))
    yield sheet.text()


def _balance(month: str, name: str, micros: int) -> tuple[Any, ...]:
    return (month, name, "", "", "", "", "", "", micros, "")


def _charge(month: str, line: Line) -> tuple[Any, ...]:
    model = harmless(line.model)
    amount = -line.charge_micros
    return (month, "charge", line.day, line.project_id, line.service, model, line.requests, line.audio_ms, amount, "")


_OF_PROJECT: Final = "/v1/projects/{project_id}/statements/{month}"
_OF_ACCOUNT: Final = "/v1/billing/statements/{month}"
_RAISES: Final = (MonthUnusable, ProjectGone)
_TAG: Final = "Billing"
_READ: Final = InProject("billing:read")
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path=_OF_PROJECT, handler=get_project_statement, access=_READ, tag=_TAG, errors=ERRORS,
        summary="Get a project's statement", response=models.Statement, raises=_RAISES,
    ),
    Endpoint(
        method="GET", path=_OF_PROJECT + "/csv", handler=export_project_statement, access=_READ, tag=_TAG,
        errors=ERRORS, summary="Export a project's statement", media_type="text/csv", raises=_RAISES,
    ),
    Endpoint(
        method="GET", path=_OF_ACCOUNT, handler=get_account_statement, access=SignedIn(), tag=_TAG, errors=ERRORS,
        summary="Get your account's statement", response=models.Statement, raises=_RAISES,
    ),
    Endpoint(
        method="GET", path=_OF_ACCOUNT + "/csv", handler=export_account_statement, access=SignedIn(), tag=_TAG,
        errors=ERRORS, summary="Export your account's statement", media_type="text/csv", raises=_RAISES,
    ),
)  # fmt: skip
