"""The console's line for each request."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.frontend.conftest import Console


def lines(found: Any) -> list[dict[str, Any]]:
    return [line for line in found if line["event"] == "request"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/login", 200), ("/nothing", 404), ("/login?next=%2Fx", 200), ("/account", 303), ("/static/x/none.css", 404)],
)
async def test_every_request_has_one_line_with_the_id_of_its_response(console: Console, path: str, status: int) -> None:
    with capture_logs() as found:
        page = await console.get(path, follow=False)
    [line] = lines(found)
    assert line["request_id"] == page.headers["dg-request-id"]
    assert (line["method"], line["path"], line["status"]) == ("GET", path.partition("?")[0], page.status)
    assert page.status == status
    assert line["bytes_out"] == len(page.text.encode())
    assert line["client"] == "127.0.0.1"


async def test_an_invitation_is_in_no_line_and_liveness_has_none(console: Console) -> None:
    with capture_logs() as found:
        await console.get("/invite?token=inv_abcdefghijkl")
        await console.get("/healthz")
    assert [line["path"] for line in lines(found)][:1] == ["/invite"]
    assert "/healthz" not in str(found)
    assert "abcdefghijkl" not in str(found)


async def test_a_refused_form_has_its_line_too(console: Console) -> None:
    with capture_logs() as found:
        page = await console.post("/login", {"email": "a"}, token="forged")
    assert [(line["method"], line["status"]) for line in lines(found)] == [("POST", page.status)]
    assert page.status == 403
