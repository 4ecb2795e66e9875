"""Files that are passed on: whole, or not at all."""

import aiohttp
import pytest
from aiohttp import web

from tests.unit.frontend.conftest import Console


async def test_a_file_that_breaks_off_at_the_api_breaks_off_here_too(signed_in: Console) -> None:
    def half() -> web.Response:
        # Says that more comes than does: the API was killed while it wrote.
        return web.Response(text="day,requests\n", content_type="text/csv", headers={"Content-Length": "4000"})

    signed_in.api.refuse["/csv"] = half
    with pytest.raises(aiohttp.ClientError):
        await signed_in.get(signed_in.project("usage.csv"))


async def test_a_file_comes_as_it_is(signed_in: Console) -> None:
    page = await signed_in.get(signed_in.project("usage.csv"))
    assert page.text == "day,requests\n2026-11-23,2\n"
