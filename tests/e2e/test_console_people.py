"""People in the console: invited, made admins, removed; and operators, who change limits and suspend."""

import re

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from aldea.ids import new_request_id
from tests.e2e.browser import PASSWORD, Platform, close_code, reader_of, silent_stream

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_an_invite_is_made_accepted_and_seen_and_the_member_rises_and_goes(
    console_browser: Browser, console_platform: Platform
) -> None:
    owner = await console_platform.sign_up("Grace Hopper", "Compilers")
    email = f"alan-{new_request_id()[-12:]}@example.com"
    async with (
        reader_of(console_browser, console_platform.console) as host,
        reader_of(console_browser, console_platform.console) as guest,
    ):
        await host.sign_in(owner)
        page = await host.open(f"/projects/{owner.project_id}/members")
        await page.get_by_role("link", name="Invite someone").click()
        dialog = page.get_by_role("dialog", name="Invite someone")
        await dialog.get_by_label("E-mail").fill(email)
        await dialog.get_by_role("button", name="Create invite").click()
        code = await page.locator("#made-code").inner_text()
        await expect(page.get_by_role("region", name="Open invites").last).to_contain_text(email)

        # The guest opens the link that the host got, has no account, and makes one on the way.
        theirs = await guest.open("/invite")
        await theirs.get_by_role("link", name="Sign up").click()
        await theirs.get_by_label("Your name").fill("Alan Turing")
        await theirs.get_by_label("E-mail").fill(email)
        await theirs.get_by_label("Password").fill(PASSWORD)
        await theirs.get_by_role("button", name="Create account").click()
        with guest.expecting("status of 422"):
            await theirs.get_by_label("Invite code").fill("inv_nothing-like-it")
            await theirs.get_by_role("button", name="Join").click()
            await expect(theirs.get_by_role("alert")).to_contain_text("Ask for a new one.")
        await theirs.get_by_label("Invite code").fill(code)
        await theirs.get_by_role("button", name="Join").click()
        await expect(theirs).to_have_url(re.compile(f"{owner.project_id}/overview$"))
        await expect(theirs.get_by_role("status")).to_contain_text("You have joined the project.")
        await expect(theirs.locator(".switcher-name")).to_have_text("Project: Compilers")
        await expect(theirs.get_by_role("link", name="Audit log")).to_have_count(0)

        # The host sees them, makes them an admin, and removes them.
        await page.goto(f"{host.origin}/projects/{owner.project_id}/members")
        await expect(page.get_by_text("No open invites.")).to_be_visible()
        await page.get_by_role("link", name="Role of Alan Turing").click()
        await page.get_by_role("dialog").get_by_label("Admin").check()
        await page.get_by_role("dialog").get_by_role("button", name="Change role").click()
        await expect(page.get_by_role("row").filter(has_text=email)).to_contain_text("admin")
        await page.get_by_role("link", name="Remove Alan Turing").click()
        await page.get_by_role("dialog").get_by_role("button", name="Remove member").click()
        await expect(page.get_by_role("row").filter(has_text=email)).to_have_count(0)
        with guest.expecting("status of 404"):
            await theirs.reload()
            await expect(theirs.get_by_role("heading", name="Nothing here")).to_be_visible()

        # All of it is in the audit log.
        await page.get_by_role("link", name="Audit log").click()
        log = page.get_by_role("region", name="Changes, newest first")
        for line in (f"Invited {email}", "Accepted an invite", "member → admin", "Removed"):
            await expect(log).to_contain_text(line)


async def test_an_operator_changes_limits_and_suspends_a_project_and_its_people_see_it(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up("Grace Hopper", f"Compilers {new_request_id()[-8:]}")
    key = await console_platform.make_key(account)
    name = (await console_platform.call("GET", f"/v1/projects/{account.project_id}", account.session))["name"]
    async with (
        reader_of(console_browser, console_platform.console) as operator,
        reader_of(console_browser, console_platform.console) as owner,
        aiohttp.ClientSession() as http,
    ):
        staff = await console_platform.sign_up("Margaret Hamilton", "Apollo")
        console_platform.appoint(staff)
        await operator.sign_in(staff)
        await owner.sign_in(account)
        async with silent_stream(http, console_platform, key["key"]) as stream:
            page = await operator.open("/operator")
            await expect(page.locator("#lanes tbody tr").first).to_be_visible()
            await expect(page.locator("#lanes")).to_contain_text("local")
            await page.get_by_label("Name, owner's address or id").fill(name)
            await expect(page.locator("#found tbody tr")).to_have_count(1)
            await page.get_by_role("link", name=name).click()
            limits = page.get_by_role("region", name="Limits", exact=True)
            await limits.get_by_label("Hours of audio per month").fill("2.5")
            await limits.get_by_label("Requests per minute").fill("")
            await limits.get_by_role("button", name="Change limits").click()
            await expect(page.get_by_role("status")).to_contain_text("The limits were changed.")
            theirs = await owner.open(f"/projects/{account.project_id}/limits")
            await expect(theirs.get_by_role("main")).to_contain_text("of 2.50 h")
            await expect(theirs.get_by_role("main")).to_contain_text("No limit")

            await page.get_by_label("US dollars", exact=True).fill("12.50")
            await page.get_by_label("Note", exact=True).fill("Invoice 7")
            await page.get_by_role("button", name="Add credit").click()
            await expect(page.get_by_role("status")).to_contain_text("The credit was added.")
            await expect(page.get_by_role("region", name="Credits")).to_contain_text("Invoice 7")
            await owner.open(f"/projects/{account.project_id}/overview", theirs)
            await expect(theirs.get_by_role("main")).to_contain_text("$212.50")

            await page.get_by_label("Reason").fill("unpaid since May")
            await page.get_by_role("button", name="Suspend project").click()
            await expect(page.get_by_role("status")).to_contain_text("The project was suspended.")
            assert await close_code(stream) == 1008
        await theirs.reload()
        await expect(theirs.get_by_role("alert").first).to_contain_text("This project is suspended")
        await theirs.get_by_role("link", name="Audit log").click()
        await expect(theirs.get_by_role("main")).to_contain_text("unpaid since May")
        await expect(theirs.get_by_role("main")).to_contain_text("$12.50: Invoice 7")
        await page.get_by_role("button", name="Resume project").click()
        await expect(page.get_by_role("status")).to_contain_text("The project was resumed.")
