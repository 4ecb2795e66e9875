"""Usage in the console is what PostgreSQL has, down to one request and to the file that is taken along."""

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.browser import Platform, reader_of

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_usage_is_what_postgresql_has_down_to_one_requests_timeline_and_the_csv(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
    key = await console_platform.make_key(account, "server", tags=["web"])
    await console_platform.fill_days(account, key["api_key_id"], 20)
    zone = ZoneInfo("Asia/Kolkata")
    async with reader_of(console_browser, console_platform.console, timezone_id=zone.key) as reader:
        await reader.sign_in(account)
        page = await reader.open(f"/projects/{account.project_id}/usage")

        # Day by day, and all together.
        truth = await console_platform.rows(
            "select day, sum(requests)::int as requests, sum(audio_ms)::bigint as audio_ms from usage_daily"
            " where project_id = $1 group by day order by day desc",
            account.project_id,
        )
        shown = [
            [await cell.inner_text() for cell in await row.locator("td").all()]
            for row in await page.locator("#usage-table tbody tr").all()
        ]
        assert [[cells[0], int(cells[1]), cells[3]] for cells in shown] == [
            [f"{row['day']:%a, %d %b %Y}", row["requests"], f"{row['audio_ms'] / 3_600_000:.4f}"] for row in truth
        ]
        assert len(shown) == 20
        total = await page.locator("#usage-table tfoot td").all_inner_texts()
        assert total[0] == str(sum(row["requests"] for row in truth))
        assert total[2] == f"{sum(row['audio_ms'] for row in truth) / 3_600_000:.4f}"

        # The chart is drawn, and shows at the pointer what a day had, of the measure that was chosen.
        await expect(page.locator(".chart canvas")).to_be_visible()
        await page.locator(".chart .u-over").hover()
        await expect(page.locator(".chart-tip")).to_contain_text(re.compile(r"^\w{3}, \d\d \w{3}\s*[\d.]+ (h|min|s)$"))
        await page.get_by_role("button", name="Requests").click()
        await page.locator(".chart .u-over").hover()
        await expect(page.locator(".chart-tip")).to_contain_text(re.compile(r"\d requests?$"))

        # By tag, narrowed by what the form says, without a new page.
        await page.get_by_role("navigation", name="Group by").get_by_role("link", name="Tag").click()
        await expect(page.locator("#usage-table tbody")).to_contain_text("Without a tag")
        await page.get_by_label("Tag", exact=True).fill("web")
        await page.get_by_label("Tag", exact=True).press("Enter")
        await expect(page).to_have_url(re.compile(r"[?&]tag=web"))
        tagged = await console_platform.rows(
            "select count(*) as requests from usage_requests where project_id = $1 and 'web' = any(tags)",
            account.project_id,
        )
        await expect(page.locator("#usage-table tfoot td").first).to_have_text(str(tagged[0]["requests"]))

        # One day opens to its requests, and one request to its timeline, in UTC as the days are.
        await page.goto(f"{reader.origin}/projects/{account.project_id}/usage")
        day: date = truth[2]["day"]
        await page.get_by_role("link", name=f"{day:%a, %d %b %Y}").click()
        requests = await console_platform.rows(
            "select request_id::text, started_ms, audio_ms from usage_requests where project_id = $1 and day = $2",
            account.project_id,
            day,
        )
        assert await page.get_by_role("row").count() == len(requests) + 1 == 4
        # Searched for as one types, without a new page: first by what none has, then by what one has.
        await page.get_by_label("Outcome").select_option(label="Failed")
        await expect(page.get_by_role("heading", name="No requests match")).to_be_visible()
        await expect(page).to_have_url(re.compile(r"[?&]status=failed"))
        await page.get_by_label("Outcome").select_option(label="Any")
        await expect(page.get_by_role("row")).to_have_count(4)
        chosen = requests[0]
        await page.get_by_role("link", name=f"…{chosen['request_id'][-8:]}").click()
        await expect(page.get_by_role("heading", name=chosen["request_id"])).to_be_visible()
        started = datetime.fromtimestamp(chosen["started_ms"] / 1000, UTC)
        timeline = page.locator(".timeline li")
        await expect(timeline.nth(0)).to_contain_text(f"{started:%d %b %Y, %H:%M:%S}")
        await expect(timeline.nth(1)).to_contain_text(f"{chosen['audio_ms'] / 1000:.3f} s")
        ended = started + timedelta(seconds=62)
        await expect(timeline.nth(2)).to_contain_text(f"{ended:%d %b %Y, %H:%M:%S}")
        await expect(timeline.nth(2)).to_contain_text("completed")
        facts = page.get_by_role("region", name="Figures")
        await expect(facts).to_contain_text("2.0 MB")
        await expect(facts).to_contain_text("server (…")

        # As a file: a line for each request, whose sum is the bill's.
        await page.goto(f"{reader.origin}/projects/{account.project_id}/usage")
        await page.get_by_text("CSV", exact=True).click()
        async with page.expect_download() as download:
            await page.get_by_role("link", name="One row per request").click()
        saved = await download.value
        assert re.fullmatch(r"usage-\d{4}-\d\d-\d\d-\d{4}-\d\d-\d\d\.csv", saved.suggested_filename)
        lines = list(csv.DictReader(io.StringIO((await saved.path()).read_text())))
        stored = await console_platform.rows(
            "select request_id::text, audio_ms from usage_requests where project_id = $1", account.project_id
        )
        assert {line["request_id"] for line in lines} == {row["request_id"] for row in stored}

        # The same is found by its id, however it was copied.
        await page.get_by_role("link", name="Requests", exact=True).click()
        await page.get_by_label("Request id").fill(f" {chosen['request_id'].upper()} ")
        await page.get_by_label("Request id").press("Enter")
        await expect(page.get_by_role("heading", name=chosen["request_id"])).to_be_visible()
        assert sum(int(line["audio_ms"]) for line in lines) == sum(row["audio_ms"] for row in stored)


async def test_the_first_page_that_a_browser_ever_sees_has_its_times_in_its_zone(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
    key = await console_platform.make_key(account)
    zone = ZoneInfo("Pacific/Auckland")
    created = datetime.fromisoformat(key["created"]).astimezone(zone)
    async with reader_of(console_browser, console_platform.console, timezone_id=zone.key) as reader:
        await reader.sign_in(account)
        shown = f"{created:%d %b %Y, %H:%M}"
        page = await reader.open(f"/projects/{account.project_id}/keys")
        await expect(page.locator("td time")).to_have_text(shown)
        # From then on the server writes them so.
        await page.wait_for_function("document.cookie.includes('zone=Pacific/Auckland')")
        written = await page.evaluate("fetch(location.href).then((response) => response.text())")
        assert f">{shown}</time>" in written
