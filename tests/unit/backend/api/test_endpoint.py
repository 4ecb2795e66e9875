"""Serving an endpoint: guard, path, query, body, response, each error in the contract's shape."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import Field

from aldea.errors import Conflict, InvalidAuth
from aldea.service.lifecycle import new_app
from backend.api.access import InProject, KeyCaller, Public
from backend.api.authentication import AUTHENTICATOR
from backend.api.endpoint import MAX_BODY_BYTES, Body, Call, DomainError, Endpoint, Query, ResponseModel, register

PROJECT = "018f0000-0000-7000-8000-000000000001"
OTHER = "018f0000-0000-7000-8000-000000000002"


class Taken(DomainError):
    """For the test."""


class NumberBody(Body):
    number: int = 1


class PageQuery(Query):
    page: int = 0
    tag: list[str] = Field(default_factory=list)


class Seen(ResponseModel):
    number: int
    page: int
    tag: list[str]


async def see(call: Call) -> Seen:
    """Respond with what was read."""
    if call.body.number == 13:
        raise Taken("thirteen is taken")
    return Seen(number=call.body.number, page=call.query.page, tag=call.query.tag)


async def nothing(_call: Call) -> None:
    """Respond with nothing."""


class OutdatedAuthenticator:
    """Knows one caller, whose cached rights are out of date."""

    def __init__(self) -> None:
        self.refreshes: list[bool] = []

    async def authenticate(self, request: web.Request, *, afresh: bool = False) -> tuple[KeyCaller, bool]:
        self.refreshes.append(afresh)
        if "Authorization" not in request.headers:
            raise InvalidAuth
        scopes = frozenset({"project:read"}) if afresh else frozenset[str]()
        return KeyCaller(sha256="0", key_id="k", project_id=PROJECT, scopes=scopes, user_id=None), not afresh


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = new_app(client_max_size=MAX_BODY_BYTES)
    authenticator: Any = OutdatedAuthenticator()
    app[AUTHENTICATOR] = authenticator
    common: Any = {"summary": "", "tag": "", "errors": {Taken: Conflict}}
    register(
        app,
        [
            Endpoint(
                method="POST", path="/see", handler=see, access=Public(), body=NumberBody, body_optional=True,
                query=PageQuery, response=Seen, status=201, raises=(Taken,), **common,
            ),
            Endpoint(
                method="GET", path="/p/{project_id}", handler=nothing, access=InProject("project:read"), **common
            ),
        ],
    )  # fmt: skip
    async with TestClient(TestServer(app)) as found:
        yield found


async def test_body_and_query_are_read_by_their_models(client: Any) -> None:
    async with client.post("/see?page=2&tag=a&tag=b", json={"number": 7, "unknown": 1}) as response:
        assert response.status == 201
        assert await response.json() == {"number": 7, "page": 2, "tag": ["a", "b"]}
    async with client.post("/see") as response:
        assert (await response.json())["number"] == 1


async def test_a_byte_order_mark_before_the_body_is_ignored(client: Any) -> None:
    for body, number in ((b'\xef\xbb\xbf{"number": 7}', 7), (b"\xef\xbb\xbf", 1)):
        async with client.post("/see", data=body) as response:
            assert (await response.json())["number"] == number


@pytest.mark.parametrize(
    "body",
    [
        '{"number": 7}'.encode("utf-16"),
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b"{",
        b"[]",
        b'{"number": "7"}',
        b'{"number": true}',
        b"\xff",
        # Floats would make whole numbers of these.
        b'{"number": 6.99999999999999999999}',
        b'{"number": 7.00000000000000000001}',
        b'{"number": 1e-400}',
        b'{"number": 1e-99999999999999999999}',
        b'{"number": 1e99999999999999999999}',
    ],
)
async def test_a_body_that_does_not_fit_is_400_and_is_not_repeated(client: Any, body: bytes) -> None:
    async with client.post("/see", data=body) as response:
        assert response.status == 400
        assert (await response.json())["err_code"] == "Bad Request"


@pytest.mark.parametrize("written", ["7", "7.0", "0.7e1", "7.000", "700e-2"])
async def test_a_whole_number_may_be_written_in_any_way(client: Any, written: str) -> None:
    async with client.post("/see", data=f'{{"number": {written}}}') as response:
        assert (await response.json())["number"] == 7


async def test_a_query_that_does_not_fit_names_the_field(client: Any) -> None:
    async with client.post("/see?page=x") as response:
        assert response.status == 400
        assert "page" in (await response.json())["err_msg"]


async def test_a_large_body_is_413(client: Any) -> None:
    async with client.post("/see", data=b" " * (MAX_BODY_BYTES + 1)) as response:
        assert response.status == 413


async def test_a_domain_error_becomes_the_error_of_its_table(client: Any) -> None:
    async with client.post("/see", json={"number": 13}) as response:
        assert response.status == 409
        assert (await response.json())["err_msg"].startswith("thirteen is taken See ")


async def test_nobody_is_refused_from_memory(client: Any) -> None:
    async with client.get(f"/p/{PROJECT}", headers={"Authorization": "x"}) as response:
        assert response.status == 204
    assert client.app[AUTHENTICATOR].refreshes == [False, True]
    async with client.get(f"/p/{OTHER}", headers={"Authorization": "x"}) as response:
        assert response.status == 404
        assert (await response.json())["err_code"] == "PROJECT_NOT_FOUND"


async def test_the_credential_is_checked_before_anything_else(client: Any) -> None:
    async with client.get("/p/no-id") as response:
        assert response.status == 401
    async with client.get("/p/no-id", headers={"Authorization": "x"}) as response:
        assert response.status == 404
