"""The console by keyboard alone, on a phone, and the check that all of its tests depend on."""

import re
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.browser import PASSWORD, Platform, Reader, reader_of

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def tab_to(page: Page, name: str, *, backwards: bool = False) -> None:
    """Press Tab until what has the focus is called so; everything on the way shows that it has it."""
    for _ in range(60):
        await page.keyboard.press("Shift+Tab" if backwards else "Tab")
        found = await page.evaluate(
            """() => {
                const at = document.activeElement;
                const style = getComputedStyle(at);
                const name = at.getAttribute("aria-label") || (at.labels?.length ? at.labels[0].textContent : "")
                    || at.textContent;
                return {
                    name: name.replace(/\\s+/g, " ").trim(),
                    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
                    body: at === document.body,
                };
            }"""
        )
        if not found["body"]:
            assert found["ring"], f"{found['name']} does not show its focus"
        if found["name"] == name:
            return
    pytest.fail(f"no Tab reaches {name}")


async def test_everything_can_be_done_by_keyboard_alone(console_browser: Browser, console_platform: Platform) -> None:
    async with reader_of(console_browser, console_platform.console) as reader:
        page = await reader.open("/signup")
        await expect(page.get_by_label("Your name")).to_be_focused()
        await page.keyboard.type("Grace Hopper")
        await tab_to(page, "E-mail")
        await page.keyboard.type(f"grace@{uuid4().hex[:8]}.example.com")
        await tab_to(page, "Password")
        await page.keyboard.type(PASSWORD)
        await tab_to(page, "First project optional")
        await page.keyboard.type("Compilers")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile("/overview$"))
        project = page.url.removesuffix("/overview")

        # Past the navigation in one step, then along the tabs with the arrows.
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#main")).to_be_focused()
        await tab_to(page, "curl")
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_role("tab", name="Python SDK")).to_be_focused()
        await expect(page.get_by_role("tabpanel", name="Python SDK")).to_be_visible()

        # A dialog takes the focus, keeps it, gives it back when it is left, and does its work.
        await page.goto(f"{project}/keys")
        await tab_to(page, "Create the first key")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog").get_by_label("Name")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.get_by_role("link", name="Create the first key")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog").get_by_label("Name")).to_be_focused()
        await page.keyboard.type("by hand")
        await tab_to(page, "Create key")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Your new key")).to_be_focused()

        # The first words, and the key is revoked.
        await page.goto(f"{project}/playground")
        await tab_to(page, "Start speaking")
        await page.keyboard.press("Enter")
        await expect(page.locator("#utterances li").first).to_be_visible()
        await page.keyboard.press("Enter")
        await expect(page.locator("#state")).to_have_attribute("data-state", "done")
        await page.goto(f"{project}/keys")
        await tab_to(page, "Revoke by hand")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await tab_to(page, "Revoke key")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("The key was revoked.")

        # The menus open with Enter and close with Escape, which gives the focus back.
        await tab_to(page, "Project: Compilers", backwards=True)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name="New project")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("link", name="New project")).to_be_hidden()
        await tab_to(page, "Dark")
        await page.keyboard.press("Space")
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"


async def test_the_chosen_theme_stays_and_the_menu_of_a_phone_opens_and_closes(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
    phone = {"viewport": {"width": 360, "height": 780}, "color_scheme": "light", "has_touch": True}
    async with reader_of(console_browser, console_platform.console, **phone) as reader:
        await reader.sign_in(account)
        page = await reader.open(f"/projects/{account.project_id}/settings")
        link = page.get_by_role("link", name="API keys")
        await expect(link).to_be_hidden()
        await page.get_by_role("button", name="Menu").tap()
        await expect(page.get_by_role("button", name="Menu")).to_have_attribute("aria-expanded", "true")
        light = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        await page.get_by_role("button", name="Dark").tap()
        dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert light != dark
        await link.tap()
        await expect(page).to_have_url(re.compile("/keys$"))
        await expect(link).to_be_hidden()
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


async def test_the_watch_finds_a_broken_policy_and_a_secret_in_an_address(
    console_browser: Browser, console_platform: Platform
) -> None:
    """The watch itself: what a page does wrong is found."""
    reader: Reader
    with pytest.raises(AssertionError, match="Content Security Policy"):
        async with reader_of(console_browser, console_platform.console) as reader:
            page = await reader.open("/login")
            await page.evaluate(
                "() => { const element = document.createElement('p'); element.setAttribute('style', 'color: red');"
                " document.body.append(element); const script = document.createElement('script');"
                " script.textContent = 'window.broken = 1'; document.body.append(script); }"
            )
    with pytest.raises(AssertionError, match="secrets in addresses"):
        async with reader_of(console_browser, console_platform.console) as reader:
            await reader.open("/login?next=org_abcdefghijklmnopqrstuvwxyz")
