"""The endpoints of usage and of what it costs, in the public management API's shapes."""

from datetime import UTC, datetime, timedelta
from math import ceil, floor
from typing import Any, Final

from aldea import speech_model
from aldea.errors import TooManyRequests
from aldea.turns import in_turns
from backend.api.access import InProject
from backend.api.download import Download
from backend.api.endpoint import Call, Endpoint, Plain
from backend.usage import models
from backend.usage.errors import (
    ERRORS,
    BalanceGone,
    DayNotKept,
    PageUnusable,
    PeriodUnusable,
    RequestGone,
    TooManyGroups,
)
from backend.usage.export import STATES, CsvFile, JsonFile
from backend.usage.filters import Filters
from backend.usage.money import dollars, hours
from backend.usage.period import Period
from backend.usage.rows import Amounts, GroupRow, RequestRow
from backend.usage.service import USAGE

# What a request that has a callback uses, and no other.
_CALLBACK: Final = ("callback",)
# The endpoints of each name that the public API has.
_ENDPOINTS: Final[dict[str, tuple[str, ...]]] = {
    "listen": ("/v1/listen", "/v1/listen/pcm", "/v2/listen"),
    **dict.fromkeys(("read", "speak", "agent"), ()),
}
_SAME: Final = {"tags": "tag"}
_CONFIG: Final = tuple(name for name in models.RequestConfig.model_fields if name != "model")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def list_requests(call: Call) -> Plain:
    """The project's requests that have ended, newest first; with `running=true` also those that still run.

    Page through with `next_page_token`: then no request is shown twice or left out, whatever arrives meanwhile.
    """
    query: models.RequestsQuery = call.query
    usage, filters = call.app[USAGE], _filters(query)
    if query.page_token is None:
        period = usage.period(query.start, query.end)
        found = await usage.requests(call.project_id, period, filters, page=query.page, limit=query.limit)
    else:
        found = await usage.requests_behind(call.project_id, query.page_token, filters, limit=query.limit)
    requests = [_request(row) async for row in in_turns(found.rows)]
    return Plain({"page": query.page, "limit": query.limit, "requests": requests, "next_page_token": found.next_token})


async def get_request(call: Call) -> models.RequestItem:
    """One request by its id: the `dg-request-id` of its response."""
    usage = call.app[USAGE]
    found = _request(await usage.request(call.project_id, call.parameters["request_id"]))
    return models.RequestItem.model_validate({**found, "request": found})


async def get_usage(call: Call) -> models.Usage:
    """Hours of audio and numbers of requests, for each day of a period and in total."""
    query: models.DaysQuery = call.query
    period = call.app[USAGE].period(query.start, query.end)
    summed = await call.app[USAGE].by_day(call.project_id, period, _filters(query))
    return models.Usage(
        start=period.first_day,
        end=period.last_day,
        resolution=models.Resolution(amount=1),
        results=[
            models.DayUsage(start=day, end=day, **_amounts(row))
            for day, row in zip(period.days, summed.rows, strict=True)
        ],
        total=models.Amounts(**_amounts(summed.total)),
    )


async def get_usage_breakdown(call: Call) -> models.Breakdown:
    """Usage by day, API key, endpoint, service, tag, model or features, or by several of them at once.

    By tag, method, model and features it is counted from the single requests, as long as these are kept.
    """
    query: models.BreakdownQuery = call.query
    period = call.app[USAGE].period(query.start, query.end)
    # Everything is of one deployment.
    groups = tuple(dict.fromkeys(_SAME.get(name, name) for name in query.grouping if name != "deployment"))
    summed = await call.app[USAGE].by_group(call.project_id, period, _filters(query), groups)
    return models.Breakdown(
        start=period.first_day,
        end=period.last_day,
        resolution=models.Resolution(amount=1 if "day" in groups else len(period.days)),
        results=[
            models.GroupUsage(grouping=_group(period, row, query.grouping), **_amounts(row))
            async for row in in_turns(summed.rows)
            if row.requests
        ],
        total=models.Amounts(**_amounts(summed.total)),
    )


async def export_usage(call: Call) -> Download:
    """Usage as a CSV file, a line for each request or for each day, oldest first.

    Times are UTC, audio and connection in milliseconds. A text that a spreadsheet could take for a formula begins with
    an apostrophe.
    """
    query: models.ExportQuery = call.query
    usage = call.app[USAGE]
    period = usage.period(query.start, query.end)
    wanted = (call.project_id, period, _filters(query))
    return Download(
        filename=f"usage-by-{query.by}-{period.first_day}-{period.last_day}.csv",
        pieces=usage.export_days(*wanted) if query.by == "day" else usage.export_requests(*wanted, CsvFile()),
    )


async def export_requests(call: Call) -> Download:
    """Requests as a JSON file: an array of what the list of requests has, oldest first."""
    query: models.RequestsExportQuery = call.query
    usage = call.app[USAGE]
    period = usage.period(query.start, query.end)
    return Download(
        filename=f"requests-{period.first_day}-{period.last_day}.json",
        pieces=usage.export_requests(call.project_id, period, _filters(query), JsonFile(_request)),
    )


async def reconcile_usage(call: Call) -> models.Reconciliation:
    """Check a day's billed total against the sum of its requests, both read at the same moment."""
    query: models.DayQuery = call.query
    row = await call.app[USAGE].reconcile(call.project_id, query.day)
    counted = models.FromRequests(
        requests=row.from_requests,
        audio_ms=row.audio_ms_from_requests,
        charge_micros=row.charge_micros_from_requests,
    )
    billed = models.FromRequests(requests=row.requests, audio_ms=row.audio_ms, charge_micros=row.charge_micros)
    return models.Reconciliation(
        day=query.day,
        **billed.model_dump(),
        from_requests=counted,
        agrees=billed == counted,
    )


async def list_balances(call: Call) -> models.BalanceList:
    """What is left of the project's credit."""
    return models.BalanceList(balances=[await _balance(call)])


async def get_balance(call: Call) -> models.Balance:
    """One balance."""
    if call.parameters["balance_id"] != call.project_id:
        raise BalanceGone("No such balance in this project. Its one balance has the project's id.")
    return await _balance(call)


async def get_spend(call: Call) -> models.Spend:
    """What a period costs: the sum of its requests' charges, each at the price that was in force when it began."""
    query: models.PeriodQuery = call.query
    usage = call.app[USAGE]
    period = usage.period(query.start, query.end)
    amount, audio_ms, price = await usage.spend(call.project_id, period)
    return models.Spend(
        start=period.first_day,
        end=period.last_day,
        amount=dollars(amount),
        price_per_hour=dollars(price),
        amount_micros=amount,
        audio_ms=audio_ms,
    )


async def _balance(call: Call) -> models.Balance:
    found = await call.app[USAGE].balance(call.project_id)
    return models.Balance(
        balance_id=call.project_id,
        purchase_order_id=found.newest_credit or call.project_id,
        amount=dollars(found.amount_micros),
        amount_micros=found.amount_micros,
        credit_micros=found.credit_micros,
        spent_micros=found.spent_micros,
        audio_ms=found.audio_ms,
    )


def _filters(query: models.FilterQuery) -> Filters:
    key = query.key or query.accessor
    service, with_any, without = query.service, query.used(True), query.used(False)
    filters: dict[str, Any] = {}
    if query.method is not None:
        service = "streaming" if query.method == "streaming" else "prerecorded"
    if query.method == "sync":
        without = tuple(dict.fromkeys((*without, *_CALLBACK)))
    elif query.method == "async":
        filters["asynchronous"] = True
    if query.model is not None and query.model.lower() != speech_model.UUID:
        filters["model"] = query.model
    if isinstance(query, models.SearchQuery):
        filters["outcome"] = query.status
        filters["request_id"] = None if query.request_id is None else str(query.request_id)
        # Whole milliseconds are counted: what is between two of them is above the one and below the other.
        least, most = query.min_audio_seconds, query.max_audio_seconds
        filters["least_ms"] = None if least is None else ceil(round(least * 1000, 3))
        filters["most_ms"] = None if most is None else floor(round(most * 1000, 3))
    if isinstance(query, models.RequestsQuery):
        filters["ended"] = not query.running and query.status != "open"
    return Filters(
        key_id=None if key is None else str(key),
        tag=query.tag,
        endpoints=None if query.endpoint is None else _ENDPOINTS.get(query.endpoint, (query.endpoint,)),
        service=service,
        with_any=with_any,
        without=without,
        nothing=query.deployment not in {None, "hosted"},
        **filters,
    )


def _amounts(row: Amounts) -> dict[str, Any]:
    in_hours = hours(row.audio_ms)
    return {
        "hours": in_hours,
        "total_hours": in_hours,
        "requests": row.requests,
        "audio_ms": row.audio_ms,
        "charge_micros": row.charge_micros,
    }


def _group(period: Period, row: GroupRow, wanted: list[models.Grouping]) -> models.Group:
    return models.Group(
        start=row.day or period.first_day,
        end=row.day or period.last_day,
        accessor=row.accessor,
        endpoint=row.endpoint,
        service=row.service,
        method=row.method,
        tags=([] if row.tag is None else [row.tag]) if "tag" in wanted or "tags" in wanted else None,
        deployment="hosted" if "deployment" in wanted else None,
        feature_set=None if row.features is None else ",".join(row.features),
        models=None if row.model is None else [row.model] if row.model else [],
    )


def _request(row: RequestRow) -> dict[str, Any]:
    """A `models.Request` as plain values: a page has up to a thousand."""
    channels, audio_ms = row.channels, row.audio_ms
    features: list[str] = row.features
    seconds = audio_ms / 1000
    created = _EPOCH + timedelta(milliseconds=row.started_ms)
    response = None
    if row.rank > 0:
        response = {
            "code": row.status,
            "completed": created + timedelta(milliseconds=row.connection_ms),
            "details": {
                "usd": dollars(row.charge_micros),
                "duration": seconds / max(channels, 1),
                "total_audio": seconds,
                "channels": channels,
                "streams": 1,
                "models": [speech_model.UUID],
                "method": _method(row),
                "tags": row.tags,
                "features": features,
                "config": {"model": row.model or None, **{name: name in features for name in _CONFIG}},
            },
            "token_details": [],
        }
    return {
        "request_id": row.request_id,
        "project_uuid": row.project_id,
        "created": created,
        "path": row.path,
        "api_key_id": row.key_id,
        "accessor": row.key_id,
        "method": _method(row),
        "duration": seconds / max(channels, 1),
        "response": response,
        "code": row.status if response else row.status or None,
        "deployment": "hosted",
        "callback": None,
        "endpoint": row.endpoint,
        "service": row.service,
        "lane": row.lane,
        "state": STATES[row.rank],
        "audio_ms": audio_ms,
        "audio_seconds": seconds,
        "channels": channels,
        "connection_seconds": row.connection_ms / 1000,
        "bytes_in": row.bytes_in,
        "bytes_out": row.bytes_out,
        "price_id": row.price_id,
        "charge_micros": row.charge_micros,
        "close_code": row.close_code,
        "failovers": row.failovers,
        "first_word_ms": row.first_word_ms,
        "tags": row.tags,
    }


def _method(row: RequestRow) -> models.Method:
    if row.service == "streaming":
        return "streaming"
    return "async" if "callback" in row.features else "sync"


_TAG: Final = "Usage"
_PATH: Final = "/v1/projects/{project_id}"
_READ: Final = InProject("usage:read")
_BILLS: Final = "Billing"
_BILLING: Final = InProject("billing:read")
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path=_PATH + "/requests", handler=list_requests, access=_READ, tag=_TAG, errors=ERRORS,
        summary="List requests", query=models.RequestsQuery, response=models.RequestList,
        raises=(PeriodUnusable, PageUnusable),
    ),
    Endpoint(
        method="GET", path=_PATH + "/requests/{request_id}", handler=get_request, access=_READ, tag=_TAG,
        errors=ERRORS, summary="Get a request", response=models.RequestItem, raises=(RequestGone,),
    ),
    Endpoint(
        method="GET", path=_PATH + "/usage", handler=get_usage, access=_READ, tag=_TAG, errors=ERRORS,
        summary="Get usage by day", query=models.DaysQuery, response=models.Usage, raises=(PeriodUnusable,),
    ),
    Endpoint(
        method="GET", path=_PATH + "/usage/breakdown", handler=get_usage_breakdown, access=_READ, tag=_TAG,
        errors=ERRORS, summary="Break usage down", query=models.BreakdownQuery, response=models.Breakdown,
        raises=(PeriodUnusable, TooManyGroups),
    ),
    Endpoint(
        method="GET", path=_PATH + "/usage/csv", handler=export_usage, access=_READ, tag=_TAG, errors=ERRORS,
        summary="Export usage as CSV", query=models.ExportQuery, media_type="text/csv",
        raises=(PeriodUnusable,), refuses=(TooManyRequests,),
    ),
    Endpoint(
        method="GET", path=_PATH + "/usage/json", handler=export_requests, access=_READ, tag=_TAG, errors=ERRORS,
        summary="Export requests as JSON", query=models.RequestsExportQuery, media_type="application/json",
        raises=(PeriodUnusable,), refuses=(TooManyRequests,),
    ),
    Endpoint(
        method="GET", path=_PATH + "/usage/reconciliation", handler=reconcile_usage, access=_READ, tag=_TAG,
        errors=ERRORS, summary="Check a day's total", query=models.DayQuery, response=models.Reconciliation,
        raises=(DayNotKept,),
    ),
    Endpoint(
        method="GET", path=_PATH + "/balances", handler=list_balances, access=_BILLING, tag=_BILLS, errors=ERRORS,
        summary="List balances", response=models.BalanceList,
    ),
    Endpoint(
        method="GET", path=_PATH + "/balances/{balance_id}", handler=get_balance, access=_BILLING, tag=_BILLS,
        errors=ERRORS, summary="Get a balance", response=models.Balance, raises=(BalanceGone,),
    ),
    Endpoint(
        method="GET", path=_PATH + "/spend", handler=get_spend, access=_BILLING, tag=_BILLS, errors=ERRORS,
        summary="Get what a period costs", query=models.PeriodQuery, response=models.Spend, raises=(PeriodUnusable,),
    ),
)  # fmt: skip
