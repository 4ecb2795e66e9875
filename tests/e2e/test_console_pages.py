"""Every page of the console in both themes, on a phone, a tablet and a wide screen: nothing broken or unreadable."""

from collections.abc import AsyncIterator, Mapping
from itertools import cycle

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.e2e.axe import violations
from tests.e2e.browser import HEIGHT, PASSWORD, THEMES, WIDTHS, Platform, Theme, reader_of, window
from tests.e2e.tour import ACCESSIBILITY, OBSERVE, Tour, fill, furnish, settle

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# What a first page view may weigh on the wire: page, styles, scripts, font, icons.
FIRST_PAGE_BYTES = 150 * 1024
# A layout shift's score below which nobody can see it: fractions of a pixel. What counts as good is 0.1.
SEEN_SHIFT = 0.0005


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tour(console_platform: Platform) -> AsyncIterator[Tour]:
    yield await furnish(console_platform)


# Pages that are to axe-core what another one is to it already: other names, other rows, the form of a page of its own.
TWINS = ("hostile-", "dialog ", "requests-failed", "usage-by-key")
# What is wrong, and the colour behind all of it.
LOOK = f"() => [({ACCESSIBILITY})(), getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)]"


async def faults_of(page: Page, width: int, theme: Theme) -> list[str]:
    """What is wrong at this width in this theme. Asking for a style or a size is what makes both apply at once."""
    await page.set_viewport_size({"width": width, "height": HEIGHT})
    await page.emulate_media(color_scheme=theme)
    found, ground = await page.evaluate(LOOK)
    if (sum(ground) > 600) != (theme == "light"):
        found.append(f"a ground of {ground}")
    return [f"{theme}, {width} px: {text}" for text in found]


@pytest.mark.timeout(300)
async def test_every_page_is_sound_in_both_themes_and_at_every_width(
    console_browser: Browser, console_platform: Platform, tour: Tour
) -> None:
    faults: list[str] = []
    # A page is loaded once, each in another width and theme than the page before, and then takes on the others.
    first = cycle([(width, THEMES[at % 2]) for at, width in enumerate(WIDTHS * 2)])

    async with reader_of(console_browser, console_platform.console, **window(WIDTHS[0], "light")) as reader:
        await reader.context.add_init_script(OBSERVE)
        page = await reader.context.new_page()

        async def look(
            name: str, path: str, link: str | None = None, form: tuple[Mapping[str, str], str] | None = None
        ) -> None:
            width, theme = next(first)
            await page.set_viewport_size({"width": width, "height": HEIGHT})
            await page.emulate_media(color_scheme=theme)
            await reader.open(path, page)
            if link is not None:
                await page.get_by_role("link", name=link).click()
                await expect(page.get_by_role("dialog").locator("#panel")).to_be_visible()
            if form is not None:
                await fill(page, *form)
            await settle(page)
            said = await page.evaluate("window.observed.shifts")
            found = [f"the layout shifts by {value:.4f}: {nodes}" for value, nodes in said if value > SEEN_SHIFT]
            twin = form is not None or name.startswith(TWINS)
            found += [] if twin else await violations(page)
            # Colours depend on the theme and sizes on the width: each theme and each width, not each with each. The
            # colours of a twin are those of its other.
            [other] = set(THEMES) - {theme}
            themes = (theme,) if twin else THEMES
            for at, seen in (*((width, one) for one in themes), *((one, other) for one in WIDTHS if one != width)):
                found += await faults_of(page, at, seen)
            faults.extend(f"{name}: {text}" for text in found)

        for name, path in tour.signed_out.items():
            await look(name, path)
        await reader.sign_in(tour.operator)
        for name, path in tour.signed_in.items():
            await look(name, path)
        for name, (path, link) in tour.dialogs.items():
            await look(f"dialog {name}", path, link)
        for name, (path, status) in tour.faulty.items():
            with reader.expecting(f"status of {status}"):
                await look(name, path)
        for name, (path, fields, button) in tour.failing.items():
            with reader.expecting("status of 4"):
                await look(name, path, form=(fields, button))
    assert not faults, "\n".join(faults)


async def test_the_check_finds_what_is_wrong(console_browser: Browser, console_platform: Platform) -> None:
    async with reader_of(console_browser, console_platform.console) as reader:
        page = await reader.open("/login")
        assert await page.evaluate(ACCESSIBILITY) == []
        await page.evaluate(
            """() => {
                const main = document.querySelector("main");
                for (const label of document.querySelectorAll("label")) label.remove();
                const link = document.createElement("a");
                link.href = "#";
                const heading = document.createElement("h4");
                heading.textContent = "Deep";
                const pale = document.createElement("p");
                pale.textContent = "Pale";
                pale.style.setProperty("color", "rgb(200 200 200)");
                const wide = document.createElement("div");
                wide.style.setProperty("width", "3000px");
                wide.textContent = "Wide";
                main.append(heading, link, pale, wide);
            }"""
        )
        found = "\n".join(await page.evaluate(ACCESSIBILITY))
        for fault in (
            "a control without a name", "a link or button without a name", "a heading of level 4 after", "contrast 1.",
            "the page scrolls sideways",
        ):  # fmt: skip
            assert fault in found
        broken = "\n".join(await violations(page))
        assert "label: " in broken
        assert "link-name: " in broken


@pytest.mark.parametrize("name", ["login", "overview"])
async def test_a_first_visit_is_light_on_the_wire(
    console_browser: Browser, console_platform: Platform, tour: Tour, name: str
) -> None:
    async with reader_of(console_browser, console_platform.console) as reader:
        if name in tour.signed_in:
            await reader.sign_in(tour.operator)
        page = await reader.context.new_page()
        wire = await reader.context.new_cdp_session(page)
        received: list[float] = []
        wire.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
        await wire.send("Network.enable")
        await reader.open({**tour.signed_out, **tour.signed_in}[name], page)
        await page.wait_for_load_state("networkidle")
        assert len(received) > 5
        assert sum(received) <= FIRST_PAGE_BYTES, received


async def test_without_scripts_the_console_can_still_be_used(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
    async with reader_of(console_browser, console_platform.console, java_script_enabled=False) as reader:
        page = await reader.open("/login")
        await page.get_by_label("E-mail").fill(account.email)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await page.set_viewport_size({"width": 360, "height": 800})
        await expect(page.get_by_role("link", name="API keys")).not_to_be_visible()
        await page.get_by_role("link", name="Menu", exact=True).click()
        await page.get_by_role("link", name="API keys").click()
        await expect(page.get_by_role("heading", name="API keys")).to_be_visible()
        await expect(page.get_by_role("link", name="Playground")).not_to_be_visible()
        await page.get_by_role("link", name="Menu", exact=True).click()
        await page.get_by_role("link", name="Playground").click()
        await expect(page.locator("noscript .banner")).to_contain_text("The playground needs JavaScript")
        await expect(page.get_by_role("button", name="Menu")).not_to_be_visible()
        await page.set_viewport_size({"width": 1280, "height": 900})
        await page.get_by_role("link", name="API keys").click()
        await page.get_by_role("link", name="Create the first key").click()
        await page.get_by_label("Name").fill("plain")
        await page.get_by_role("button", name="Create key").click()
        await expect(page.locator("#made-key")).to_contain_text("org_")
        await page.get_by_role("link", name="Usage").click()
        await page.get_by_label("From").fill("2026-01-01")
        await page.get_by_role("button", name="Show").click()
        await expect(page.get_by_role("heading", name="No usage in this period")).to_be_visible()
