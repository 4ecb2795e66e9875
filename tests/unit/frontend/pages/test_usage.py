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
    assert page.text.count("1.50 h") == 4, "in the title, in its row, in the sum, in the chart's table"
    assert "data-chart=" in page.text
    assert signed_in.api.query_of("/usage") == {"start": "2026-11-01", "end": "2026-11-23"}


@pytest.mark.parametrize(
    ("grouping", "shown"),
    [
        ("accessor", 'server <span class="whole">(…x7Qz)</span>'),
        ("endpoint", "/v1/listen"),
        ("tag", "prod"),
        ("service", "Live"),
    ],
)
async def test_groups_are_requested_from_the_api_with_the_filters(
    signed_in: Console, grouping: str, shown: str
) -> None:
    signed_in.api.days = DAYS
    signed_in.api.add_key(api_key_id=KEY)
    page = await signed_in.get(signed_in.project(f"usage?{PERIOD}&grouping={grouping}&tag=prod&service=streaming"))
    table = page.text.partition('id="usage-table"')[2]
    assert shown in table
    sent = signed_in.api.queries("/breakdown")
    assert {
        "start": "2026-11-01",
        "end": "2026-11-23",
        "grouping": grouping,
        "tag": "prod",
        "service": "streaming",
    } in sent


async def test_by_key_the_chart_is_stacked_and_its_figures_are_a_table_too(signed_in: Console) -> None:
    signed_in.api.days = DAYS
    signed_in.api.add_key(api_key_id=KEY)
    page = await signed_in.get(signed_in.project(f"usage?{PERIOD}&grouping=accessor"))
    assert [query["grouping"] for query in signed_in.api.queries("/breakdown")].count("day") == 1
    assert "&#34;names&#34;: [&#34;server (\\u2026x7Qz)&#34;]" in page.text
    table = page.text.partition("figures by UTC day")[2].partition("</table>")[0]
    assert table.count("<tr>") == 2, "its head, and the one day that had any"
    for words in ("server (…x7Qz) Audio", "Mon, 23 Nov 2026", "1.50 h", "<td>12</td>"):
        assert words in table, words


async def test_more_days_of_keys_than_the_api_breaks_down_are_not_stacked(signed_in: Console) -> None:
    signed_in.api.days = DAYS
    signed_in.api.too_fine = True
    page = await signed_in.get(signed_in.project(f"usage?{PERIOD}&grouping=accessor"))
    assert page.status == 200
    assert "data-chart=" in page.text


async def test_a_long_table_is_cut_and_says_so(signed_in: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontend.usage_view.MAX_ROWS", 1)
    signed_in.api.days = [{"day": f"2026-11-{day}", "hours": 1.5, "requests": 12} for day in (21, 22, 23)]
    page = await signed_in.get(signed_in.project(f"usage?{PERIOD}"))
    table = page.text.partition('id="usage-table"')[2]
    assert "Mon, 23 Nov 2026" in table
    assert "Sun, 22 Nov 2026" not in table
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
