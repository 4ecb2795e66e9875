"""Every number and every time that the Platform API takes, at and beyond its ends: refused clearly, or served."""

import json
from typing import Any, Final
from urllib.parse import quote

import pytest

from backend.api.endpoint import Endpoint
from backend.app import ENDPOINTS
from tests.integration.conftest import Api
from tests.support.estates import DOCUMENT, Estate, body_of, named, query_of, settle

# As JSON, since some are no Python value.
NUMBERS: Final = (
    "0", "-0", "-1", "1", "1.5", "-0.0", "2147483647", "2147483648", "-2147483649", "9007199254740993",
    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1" + "0" * 400, "1" + "0" * 5000,
    "1e308", "1e309", "-1e400", "5e-324", "1e1000000000", "NaN", "Infinity", "-Infinity",
)  # fmt: skip
TIMES: Final = (
    "0001-01-01", "0000-01-01", "0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z",
    "9999-12-31", "9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.9999999Z", "10000-01-01T00:00:00Z", "+010000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z",
    "2027-06-30T23:59:60Z", "2027-06-30T24:00:00Z", "2027-06-30T23:59:59+24:00", "2027-06-30T23:59:59+99:99",
    "2027-06-30T23:59:59-00:00", "2027-02-29", "2027-13-01T00:00:00Z", "2027-06-30T23:59:59 05:30", "2027-W01-1",
    "2027-06-30T23:59:59", "2027-06-30T23:59Z", "20270630T235959Z", "٢٠٢٧-06-30", "now", "infinity", "-infinity",
    "253402300800", "1e400", "",
)  # fmt: skip
OTHERS: Final = ("null", "true", '""', "[]", "{}", '"1"', '"1_000"', '"0x10"', '"٣"', '" 1"')
BODY_VALUES: Final = (*NUMBERS, *OTHERS, *(json.dumps(time) for time in TIMES))
QUERY_VALUES: Final = (*NUMBERS, *TIMES, "1_000", "0x10", "٣", " 1", "1e3", "null")


def _measured(schema: Any) -> bool:
    """Whether a field's schema is, anywhere, of a number or a time."""
    if isinstance(schema, dict):
        if schema.get("type") in {"integer", "number"} or schema.get("format") in {"date", "date-time"}:
            return True
        return any(map(_measured, schema.values()))
    return isinstance(schema, list) and any(map(_measured, schema))


def fields(model: Any) -> list[str]:
    """The fields of a model that are numbers or times."""
    return [] if model is None else [
        name for name, schema in model.model_json_schema()["properties"].items() if _measured(schema)
    ]  # fmt: skip


CASES: Final = [
    pytest.param(endpoint, part, name, id=f"{endpoint.operation_id}-{name}")
    for endpoint in ENDPOINTS
    for part in ("body", "query")
    for name in fields(getattr(endpoint, part))
]


@pytest.fixture
async def estate(api: Api) -> Estate:
    found = await settle(api, "ann")
    async with api.database.connection() as connection:
        await connection.execute("update users set operator = true")
    return found


async def send(api: Api, endpoint: Endpoint, path: str, credential: str, body: str | None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}
    url = api.client.make_url("/").join(type(api.client.make_url("/"))(path, encoded=True))
    async with api.client.session.request(endpoint.method, url, headers=headers, data=body) as response:
        return response.status, await response.text()


def test_the_cases_cover_what_is_known_to_take_a_number_or_a_time() -> None:
    assert DOCUMENT
    names = {case.values[2] for case in CASES}
    assert names >= {"expiration_date", "time_to_live_in_seconds", "overlap_seconds", "ttl_seconds", "start", "page"}


@pytest.mark.parametrize(("endpoint", "part", "name"), CASES)
async def test_no_number_and_no_time_is_more_than_an_endpoint_can_take(
    api: Api, estate: Estate, endpoint: Endpoint, part: str, name: str
) -> None:
    path = endpoint.path.format_map({known: estate.ids[known] for known in named(endpoint)})
    whole, query = body_of(endpoint) or {}, query_of(endpoint)
    wrong = []
    body: str | None
    for value in BODY_VALUES if part == "body" else QUERY_VALUES:
        if part == "body":
            rest = "".join(f",{json.dumps(key)}:{json.dumps(one)}" for key, one in whole.items() if key != name)
            url, body = path + query, f"{{{json.dumps(name)}:{value}{rest}}}"
        else:
            kept = "&".join(pair for pair in query[1:].split("&") if pair and not pair.startswith(f"{name}="))
            url, body = f"{path}?{name}={quote(value)}&{kept}".rstrip("&"), json.dumps(whole) if whole else None
        status, text = await send(api, endpoint, url, estate.session, body)
        if status >= 500 or (status >= 400 and not {"err_code", "err_msg"} <= json.loads(text).keys()):
            wrong.append((value[:40], status, text[:200]))
    assert wrong == []


@pytest.mark.parametrize(
    "expiration_date", ["9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.999999-00:01", "0001-01-01T00:00:00+12:00"]
)
async def test_an_expiry_beyond_the_calendar_is_refused_with_what_is_allowed(
    api: Api, estate: Estate, expiration_date: str
) -> None:
    path = f"/v1/projects/{estate.tenant.project_id}/keys"
    body = {"comment": "", "scopes": ["usage:write"], "expiration_date": expiration_date}
    error = await api.call("POST", path, estate.session, body, status=400)
    assert "expiration_date" in error["err_msg"]
    body["expiration_date"] = "9999-12-31T23:59:59Z"
    made = await api.call("POST", path, estate.session, body)
    assert made["expiration_date"] == "9999-12-31T23:59:59Z"
