import pytest

from tests.fakes.platform_api import KEY, refusal
from tests.unit.frontend.conftest import Console

DAYS = [{"day": "2026-11-22", "hours": 0.0, "requests": 0}, {"day": "2026-11-23", "hours": 1.5, "requests": 12}]
PERIOD = "start=2026-11-01&end=2026-11-23"


async def test_without_usage_the_page_says_so(signed_in: Console) -> None:
    page = await signed_in.get(signed_in.project("usage"))
    assert "No usage in this period" in page.text
    assert "data-chart" not in page.text


async def test_days_are_charted_and_listed_with_their_sum(signed_in: Console) -> None:
    signed_in.api.days = DAYS
    page = await signed_in.get(signed_in.project(f"usage?{PERIOD}"))
    assert "Mon, 23 Nov 2026" in page.text
    assert "Sun, 22 Nov 2026" not in page.text
    assert page.text.count("1.50 h") == 3, "in the title, in its row, in the sum"
    assert "data-chart=" in page.text
    assert signed_in.api.query_of("/usage") == {"start": "2026-11-01", "end": "2026-11-23"}


@pytest.mark.parametrize(
    ("grouping", "shown"),
    [("accessor", "server (…x7Qz)"), ("endpoint", "/v1/listen"), ("tag", "prod"), ("service", "Live")],
)
async def test_groups_are_requested_from_the_api_with_the_filters(
    signed_in: Console, grouping: str, shown: str
) -> None:
    signed_in.api.days = DAYS
    signed_in.api.add_key(api_key_id=KEY)
    page = await signed_in.get(signed_in.project(f"usage?{PERIOD}&grouping={grouping}&tag=prod&service=streaming"))
    table = page.text.partition('id="usage-table"')[2]
    assert shown in table
    sent = signed_in.api.query_of("/breakdown")
    assert sent == {
        "start": "2026-11-01",
        "end": "2026-11-23",
        "grouping": grouping,
        "tag": "prod",
        "service": "streaming",
    }


async def test_a_long_table_is_cut_and_says_so(signed_in: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontend.usage_view.MAX_ROWS", 1)
    signed_in.api.days = [{"day": f"2026-11-{day}", "hours": 1.5, "requests": 12} for day in (21, 22, 23)]
    page = await signed_in.get(signed_in.project(f"usage?{PERIOD}"))
    assert "Mon, 23 Nov 2026" in page.text
    assert "Sun, 22 Nov 2026" not in page.text
    assert "Showing the first 1 of " in page.text


async def test_a_tag_with_markup_in_it_is_only_text(signed_in: Console) -> None:
    page = await signed_in.get(signed_in.project("usage?tag=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"))
    assert "<script>alert" not in page.text


async def test_csv_is_passed_on_with_the_filters_and_a_name(signed_in: Console) -> None:
    page = await signed_in.get(signed_in.project(f"usage.csv?{PERIOD}&by=day&tag=prod"))
    assert page.text.startswith("day,requests")
    assert page.headers["Content-Disposition"] == 'attachment; filename="usage-2026-11-01-2026-11-23.csv"'
    assert signed_in.api.query_of("/csv") == {"start": "2026-11-01", "end": "2026-11-23", "by": "day", "tag": "prod"}


async def test_csv_that_the_api_refuses_is_a_page_and_no_file(signed_in: Console) -> None:
    signed_in.api.refuse["/csv"] = lambda: refusal(400, "Bad Request", "At most 366 days.")
    page = await signed_in.get(signed_in.project("usage.csv"))
    assert page.status == 400
    assert "At most 366 days." in page.text
    assert "Content-Disposition" not in page.headers


async def test_a_period_that_cannot_be_is_an_error_and_not_another_period(signed_in: Console) -> None:
    query, before = "start=2026-11-24&end=2026-11-23", len(signed_in.api.calls)
    page = await signed_in.get(signed_in.project(f"usage?{query}"))
    assert page.status == 422
    assert "From (2026-11-24) is after To (2026-11-23)" in page.text
    assert 'value="2026-11-24"' in page.text
    assert "usage-table" not in page.text
    found = await signed_in.get(signed_in.project(f"usage.csv?{query}"))
    assert (found.status, "is after To" in found.text) == (400, True)
    later = [path for _, path, *_ in signed_in.api.calls[before:]]
    assert not [path for path in later if path.endswith(("/usage", "/usage/csv"))]
