"""The Platform API and browsers: who may read it from a page, and a reference that a real one shows and tries."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page

from tests.e2e.browser import PATIENCE_MS, chromium
from tests.integration.conftest import CONSOLE_ORIGIN, Api, Tenant


async def test_only_the_consoles_origin_reads_responses_and_errors(api: Api, ann: Tenant) -> None:
    preflight_headers = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    path = f"/v1/projects/{ann.project_id}"
    for origin, allowed in ((CONSOLE_ORIGIN, CONSOLE_ORIGIN), ("http://elsewhere.test", None)):
        async with api.client.options(path, headers={"Origin": origin, **preflight_headers}) as preflight:
            assert preflight.headers.get("Access-Control-Allow-Origin") == allowed
            assert preflight.status == (204 if allowed else 405)
        for credential, status in ((ann.key, 200), ("org_wrong", 401)):
            headers = {"Origin": origin, "Authorization": f"Bearer {credential}"}
            async with api.client.get(path, headers=headers) as response:
                assert response.status == status
                assert response.headers.get("Access-Control-Allow-Origin") == allowed
                assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_downloads_and_limits_of_a_body_keep_the_headers(api: Api, ann: Tenant) -> None:
    headers = {"Origin": CONSOLE_ORIGIN, "Authorization": f"Bearer {ann.key}"}
    path = f"/v1/projects/{ann.project_id}"
    async with api.client.get(f"{path}/usage/csv", headers=headers) as export:
        assert export.status == 200
        assert "Content-Disposition" in export.headers["Access-Control-Expose-Headers"]
        assert export.headers["Cache-Control"] == "no-store"
    async with api.client.post(f"{path}/keys", headers=headers, data=b" " * 65_537) as refused:
        assert refused.status == 413
        assert refused.headers["Access-Control-Allow-Origin"] == CONSOLE_ORIGIN


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A page of a real browser; the test fails with whatever the browser complained of."""
    complaints: list[str] = []
    async with chromium() as browser:
        found = await browser.new_page()
        found.set_default_timeout(PATIENCE_MS)
        found.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        found.on("pageerror", lambda error: complaints.append(str(error)))
        yield found
    assert complaints == []


@pytest.mark.browser
async def test_the_reference_is_browsed_and_tried_from_this_address_alone(api: Api, ann: Tenant, page: Page) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    await page.goto(f"{api.url}v1/docs#get_project")
    await page.get_by_label("Credential for trying calls").fill(ann.key)
    operation = page.locator("#get_project")
    await operation.get_by_label("project_id").fill(ann.project_id)
    await operation.get_by_role("button", name="Send").click()
    await operation.get_by_role("status").get_by_text("ann's project").wait_for()
    await page.get_by_label("Filter").fill("audit")
    await page.locator("#get_project").wait_for(state="hidden")
    assert await page.locator(".operation:visible").count() == 1
    assert requested
    assert not [url for url in requested if not url.startswith(api.url)]
