import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from aldea.service import payload
from aldea.service.lifecycle import new_app
from tests.support.standstills import DEADLINE, sent_meanwhile

TYPE = "application/x-www-form-urlencoded"


async def show(request: web.Request) -> web.Response:
    first, again = await payload.form(request), await payload.form(request)
    assert first is again
    return web.json_response(list(first.items()))


async def hurry(request: web.Request) -> web.Response:
    await payload.read(request, seconds=0)
    return web.Response()


async def patient(request: web.Request) -> web.Response:
    return web.Response(body=await payload.read(request, seconds=DEADLINE))


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = new_app(client_max_size=4096)
    app.router.add_post("/form", show)
    app.router.add_post("/hurry", hurry)
    app.router.add_post("/patient", patient)
    async with TestClient(TestServer(app)) as found:
        yield found


async def sent(client: Any, body: bytes, content_type: str = TYPE) -> tuple[int, Any]:
    async with client.post("/form", data=body, headers={"Content-Type": content_type}) as response:
        return response.status, await response.json()


async def test_a_forms_fields_are_read_repeated_and_empty_ones_too(client: Any) -> None:
    fields = [["a", "1 2"], ["b", ""], ["a", "é"]]
    assert await sent(client, b"a=1+2&b=&a=%C3%A9", f"{TYPE}; charset=UTF-8") == (200, fields)
    assert await sent(client, b"") == (200, [])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"a=1", f"{TYPE}; charset=nope"),
        (b"a=1", f"{TYPE}; charset=utf-16"),
        (b"a=%ff", TYPE),
        (b"a=\xff", TYPE),
        (b"a=%ed%a0%80", TYPE),
        (b"&".join([b"a=1"] * 1001), TYPE),
        (b"--x", "multipart/form-data"),
        (b"--x", "multipart/form-data; boundary=x"),
        (b"--x", "multipart/form-data; boundary=" + "x" * 100),
        (b"{}", "application/json"),
        (b"a=1", "nonsense"),
        (b"a=1", ";;;"),
    ],
)
async def test_a_form_that_cannot_be_read_is_400(client: Any, body: bytes, content_type: str) -> None:
    status, response = await sent(client, body, content_type)
    assert (status, response["err_code"]) == (400, "Bad Request")
    assert len(response["err_msg"]) < 300


async def test_a_form_above_the_limit_is_413(client: Any) -> None:
    assert (await sent(client, b"a=" + b"x" * 4096))[0] == 413


async def test_a_body_that_does_not_arrive_in_time_is_408(client: Any) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.Event().wait()

    async with client.post("/hurry", data=never()) as response:
        assert (response.status, (await response.json())["err_code"]) == (408, "SLOW_UPLOAD")


async def test_a_body_that_came_while_the_process_stood_still_came_in_time(client: Any) -> None:
    assert await sent_meanwhile("127.0.0.1", client.port, "/patient") == b"200"
