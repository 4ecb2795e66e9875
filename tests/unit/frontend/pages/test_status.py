import pytest

from frontend.status_feed import STATUS_FEED
from tests.fakes.platform_api import incident_of, status_of
from tests.unit.frontend.conftest import Console


def forget(console: Console) -> None:
    """As if the page's time were over."""
    server = console.client.server
    server.app[STATUS_FEED]._due = 0.0  # type: ignore[attr-defined]


async def test_everybody_reads_the_status_without_signing_in(console: Console) -> None:
    console.api.incidents = [incident_of(), incident_of(resolved="2026-11-23T16:00:00Z", title="Over")]
    page = await console.get("/status")
    assert page.status == 200
    assert "All systems work" in page.text
    assert "Words are late &lt;b&gt;" in page.text
    assert "74.99 % of 2,000 checks succeeded" in page.text
    # An objective, and the key of the colours.
    assert page.text.count(">no data<") == 2
    assert page.text.count(": no data</title>") == 3 * 88
    assert "Missed" in page.text
    assert console.api.authorizations == [None]
    assert page.headers["Cache-Control"] == "private, max-age=15"


@pytest.mark.parametrize(
    ("state", "said"), [("down", "does not work"), ("degraded", "Some requests fail"), ("unknown", "no current data")]
)
async def test_the_first_sentence_says_how_it_is(console: Console, state: str, said: str) -> None:
    console.api.status = status_of(state)
    page = await console.get("/status")
    assert said in page.text
    assert "All systems work" not in page.text


async def test_the_json_is_the_apis_and_may_be_cached(console: Console) -> None:
    page = await console.get("/status.json")
    assert (page.status, page.headers["Cache-Control"]) == (200, "public, max-age=15")
    assert '"state": "operational"' in page.text
    await console.get("/status")
    assert len(console.api.calls) == 1


async def test_what_was_seen_last_is_shown_while_nothing_responds_and_is_not_called_current(console: Console) -> None:
    console.api.down = True
    page = await console.get("/status")
    assert (page.status, page.headers["Retry-After"]) == (503, "5")
    assert "cannot be read right now" in page.text
    console.api.down = False
    forget(console)
    assert (await console.get("/status")).status == 200
    console.api.down = True
    forget(console)
    page = await console.get("/status")
    assert page.status == 200
    assert "What follows is from" in page.text
    assert "All systems work" not in page.text
    assert page.headers["Cache-Control"] == "no-store"
    page = await console.get("/status.json")
    assert (page.status, "SERVICE_UNAVAILABLE" in page.text) == (503, True)
