from uuid import UUID

import pytest

from tests.fakes.platform_api import KEY, refusal
from tests.unit.frontend.conftest import Console

DAY = "start=2026-11-23&end=2026-11-23"
SEARCH = {"status": "failed", "min_audio_seconds": "1.5", "max_audio_seconds": "60"}


async def test_a_request_is_listed_with_what_it_takes_to_understand_it(signed_in: Console) -> None:
    signed_in.api.add_key(api_key_id=KEY)
    request = signed_in.api.add_request(charge_micros=1_234)
    signed_in.api.add_request(code=503, close_code=None, audio_seconds=0.0)
    page = await signed_in.get(signed_in.project(f"usage/requests?{DAY}"))
    table = page.text.partition("<tbody>")[2]
    for words in (
        "23 Nov 2026, 15:00:00", "server (…x7Qz)", "/v1/listen", "Lane local", "completed", "18.725 s", "$0.0012",
        "failed", "no STT server was available (status 503)",
    ):  # fmt: skip
        assert words in table, words
    assert "all audio was transcribed" not in table.replace('title="all audio was transcribed', "")
    assert signed_in.api.query_of("/requests")["end"] == "2026-11-23"
    one = await signed_in.get(signed_in.project(f"usage/requests/{request['request_id']}"))
    for words in (
        "Accepted", "18.725 s", "all audio was transcribed", "599.2 kB", "20.5 kB", "local", "19.500 s", "$0.0012",
        f"usage/requests?key={KEY}",
    ):  # fmt: skip
        assert words in one.text, words


async def test_its_times_are_utc_like_its_days_and_the_page_says_so(signed_in: Console) -> None:
    request = signed_in.api.add_request()
    for path in (f"usage/requests?{DAY}", f"usage/requests/{request['request_id']}"):
        page = await signed_in.get(signed_in.project(path), headers={"Cookie": "zone=Asia/Kolkata"})
        assert ">23 Nov 2026, 15:00:00</time>" in page.text
        assert page.text.count("<time ") == page.text.count(" data-utc>")
        assert "Times and days are UTC" in page.text


async def test_what_is_searched_for_is_in_the_form_in_the_call_and_in_every_link(signed_in: Console) -> None:
    query = "&".join(f"{name}={value}" for name, value in SEARCH.items())
    page = await signed_in.get(signed_in.project(f"usage/requests?{DAY}&tag=prod&key={KEY}&{query}"))
    assert signed_in.api.query_of("/requests") == {
        "limit": "50", "running": "true", "start": "2026-11-23", "end": "2026-11-23", "tag": "prod", "key": KEY,
        **SEARCH,
    }  # fmt: skip
    assert '<option value="failed" selected>' in page.text
    assert 'value="1.5"' in page.text
    written = query.replace("&", "&amp;")
    assert page.text.count(written) == 5, "three periods, two files"


async def test_pages_of_requests_are_walked_by_the_apis_own_token(signed_in: Console) -> None:
    await signed_in.get(signed_in.project(f"usage/requests?{DAY}&tag=prod&status=failed&page_token=abc%3D"))
    assert signed_in.api.query_of("/requests") == {
        "limit": "50", "running": "true", "page_token": "abc=", "tag": "prod", "status": "failed",
    }  # fmt: skip


async def test_an_id_leads_to_its_request(signed_in: Console) -> None:
    request_id = str(signed_in.api.add_request()["request_id"])
    page = await signed_in.get(signed_in.project(f"usage/requests?request_id=%20{request_id.upper()}"))
    assert (page.status, page.path) == (200, signed_in.project(f"usage/requests/{request_id}"))


async def test_an_id_that_is_not_there_is_the_search_again_with_a_reason(signed_in: Console) -> None:
    missing = str(UUID(int=1))
    page = await signed_in.get(signed_in.project(f"usage/requests/{missing}"))
    assert page.status == 404
    assert f"There is no request {missing} in this project" in page.text
    assert f'name="request_id" value="{missing}"' in page.text


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("request_id=mine", "“mine” is no request id"),
        ("min_audio_seconds=long", "“long” is no length of audio"),
        ("max_audio_seconds=-1", "“-1” is no length of audio"),
        ("max_audio_seconds=1e12", "“1e12” is no length of audio"),
        ("min_audio_seconds=9&max_audio_seconds=3", "Audio from (9 s) is more than to (3 s)"),
        ("start=2026-11-24&end=2026-11-23", "is after To"),
    ],
)
async def test_a_search_that_cannot_be_is_an_error_and_not_another_search(
    signed_in: Console, query: str, says: str
) -> None:
    before = len(signed_in.api.calls)
    page = await signed_in.get(signed_in.project(f"usage/requests?{query}"))
    assert (page.status, says in page.text) == (422, True)
    file = await signed_in.get(signed_in.project(f"requests.csv?{query}"))
    assert (file.status, says in file.text) == (400, True)
    assert not [path for _, path, *_ in signed_in.api.calls[before:] if path.endswith(("/requests", "/csv"))]


@pytest.mark.parametrize("suffix", ["csv", "json"])
async def test_the_same_requests_are_exported(signed_in: Console, suffix: str) -> None:
    query = "&".join(f"{name}={value}" for name, value in SEARCH.items())
    page = await signed_in.get(signed_in.project(f"requests.{suffix}?{DAY}&tag=prod&{query}"))
    assert page.headers["Content-Disposition"] == f'attachment; filename="requests-2026-11-23-2026-11-23.{suffix}"'
    assert signed_in.api.query_of(f"/usage/{suffix}") == {
        "start": "2026-11-23", "end": "2026-11-23", "tag": "prod", **SEARCH,
    }  # fmt: skip


async def test_an_export_that_the_api_refuses_is_a_page_and_no_file(signed_in: Console) -> None:
    signed_in.api.refuse["/json"] = lambda: refusal(429, "TOO_MANY_REQUESTS", "4 exports of this project.")
    page = await signed_in.get(signed_in.project("requests.json"))
    assert (page.status, "4 exports of this project." in page.text) == (429, True)
    assert "Content-Disposition" not in page.headers
