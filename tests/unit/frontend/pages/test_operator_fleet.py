from uuid import UUID

import pytest

from tests.fakes.platform_api import OTHER_PROJECT, PROJECT, fleet_of, server_of
from tests.unit.frontend.conftest import Console

REQUEST = str(UUID(int=100))


@pytest.fixture
async def operator(signed_in: Console) -> Console:
    signed_in.api.user["operator"] = True
    return signed_in


async def test_others_find_nothing_there(signed_in: Console) -> None:
    for path in ("fleet", "find?q=abcd", f"requests/{REQUEST}"):
        assert (await signed_in.get(f"/operator/{path}")).status == 404
    assert not [call for call in signed_in.api.calls if "/operator/" in call[1]]


async def test_the_map_shows_lanes_and_servers(operator: Console) -> None:
    operator.api.fleet = fleet_of(servers=[server_of(), server_of(name="stt-2:8800", circuit="open", open_at=1)])
    page = await operator.get("/operator/fleet")
    assert "1 of 2" in page.text
    assert "circuit not closed at 1 of 1" in page.text
    assert "Out of use" in page.text
    assert "overdrawn by 50 %" in page.text
    assert "stt-9:8800" in page.text


@pytest.mark.parametrize("count", [0, 300])
async def test_the_map_works_with_no_server_and_with_hundreds(operator: Console, count: int) -> None:
    servers = [server_of(name=f"stt-{at}:8800") for at in range(count)]
    operator.api.fleet = fleet_of(servers=servers, tasks=[], reported=count > 0)
    page = await operator.get("/operator/fleet")
    assert page.status == 200
    assert page.text.count('class="server"') == count
    assert ("Redis is unavailable" in page.text) is (count == 0)


@pytest.mark.parametrize(
    ("typed", "leads"),
    [
        (PROJECT, f"/operator/projects/{PROJECT}"),
        (f" {OTHER_PROJECT.upper()} ", f"/operator/projects/{OTHER_PROJECT}"),
        (REQUEST, f"/operator/requests/{REQUEST}"),
        ("org_" + "k" * 36 + "x7Qz", "/operator/find?q=x7Qz"),
    ],
)
async def test_an_id_leads_to_its_page_and_a_whole_key_is_shortened(operator: Console, typed: str, leads: str) -> None:
    operator.api.add_request(request_id=REQUEST)
    page = await operator.get(f"/operator/find?q={typed}", follow=False)
    assert (page.status, page.headers["Location"]) == (303, leads)


async def test_a_key_is_found_by_its_end(operator: Console) -> None:
    operator.api.add_key("production <server>")
    page = await operator.get("/operator/find?q=…x7Qz")
    assert "production &lt;server&gt;" in page.text
    assert operator.api.query_of("/operator/keys") == {"last4": "x7Qz"}


@pytest.mark.parametrize(("typed", "status"), [("", 200), ("acme", 200), ("nobody's", 200), (str(UUID(int=1)), 404)])
async def test_what_is_not_found_is_said(operator: Console, typed: str, status: int) -> None:
    page = await operator.get(f"/operator/find?q={typed}")
    assert (page.status, "No request, project or key" in page.text) == (status, True)


async def test_a_requests_whole_story_is_on_one_page(operator: Console) -> None:
    operator.api.add_request(request_id=REQUEST, trace_id="a" * 32)
    page = await operator.get(f"/operator/requests/{REQUEST}")
    assert page.status == 200
    for part in ("18.725 s", "The final one", "…x7Qz", "a" * 32, f"/operator/projects/{PROJECT}"):
        assert part in page.text
    assert (await operator.get(f"/operator/requests/{UUID(int=5)}")).status == 404
    assert (await operator.get("/operator/requests/x")).status == 404
