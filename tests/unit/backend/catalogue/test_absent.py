"""What is not offered: a 404 that says so, whatever the method and the rest of the path."""

import pytest
from aiohttp.test_utils import TestClient, TestServer

from aldea.service.lifecycle import new_app
from backend.catalogue.absent import ABSENT, refuse_what_is_absent


@pytest.mark.parametrize("path", ABSENT)
async def test_each_is_refused_with_its_sentence(path: str) -> None:
    app = new_app()
    refuse_what_is_absent(app)
    target = path.replace("{project_id}", "018f0000-0000-7000-8000-000000000001")
    async with TestClient(TestServer(app)) as client:
        for method, rest in (("GET", ""), ("POST", ""), ("DELETE", "/some/thing")):
            async with client.request(method, target + rest) as response:
                assert response.status == 404
                found = await response.json()
                assert found["err_code"] == "NOT_FOUND"
                assert found["err_msg"].startswith(ABSENT[path])
                assert found["request_id"] == response.headers["dg-request-id"]
