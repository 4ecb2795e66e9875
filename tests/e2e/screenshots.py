"""`python -m tests.e2e.screenshots FOLDER [--window] [NAME …]`: the console's pages in both themes and widths, as PNG.

It starts a platform of its own, furnishes it and stops it. A picture is called after its page, theme and width; it
shows the whole page, with `--window` what is in the browser's window.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from playwright.async_api import Browser, Page, expect

from aldea.tasks import cancel, spawn
from tests.e2e.box import start_box
from tests.e2e.browser import THEMES, WIDTHS, Platform, Theme, chromium, reader_of, window
from tests.e2e.tour import Tour, fill, furnish, settle
from tests.recordings import speech

WINDOW = "--window"


async def speak(page: Page) -> None:
    """Something for the playground to show."""
    await page.get_by_role("button", name="Start speaking").click()
    await expect(page.locator("#utterances .interim")).to_be_visible()
    await page.wait_for_function("() => document.querySelectorAll('#utterances .word').length > 24")
    await expect(page.locator("#utterances .interim")).to_be_visible()


@asynccontextmanager
async def streams(platform: Platform, tour: Tour, http: aiohttp.ClientSession) -> AsyncIterator[None]:
    """Some streams that run meanwhile."""
    url = f"{platform.box.ws}/v1/listen?encoding=linear16&sample_rate=16000"

    async def hold() -> None:
        async with http.ws_connect(url, headers={"Authorization": f"Token {tour.key}"}) as socket:
            while not socket.closed:
                await socket.send_bytes(speech(2.0))
                await asyncio.sleep(2)

    running = [spawn(hold(), name="stream") for _ in range(3)]
    try:
        yield
    finally:
        await cancel(*running)


async def shoot(platform: Platform, tour: Tour, folder: Path, wanted: Sequence[str]) -> None:
    async with chromium() as browser:
        for width in WIDTHS:
            for theme in THEMES:
                await _shoot(browser, platform, tour, folder, wanted, width, theme)


async def _shoot(
    browser: Browser, platform: Platform, tour: Tour, folder: Path, wanted: Sequence[str], width: int, theme: Theme
) -> None:
    async with reader_of(browser, platform.console, **window(width, theme), timezone_id="Europe/Berlin") as reader:
        page = await reader.context.new_page()

        async def take(name: str, *, whole: bool = True) -> None:
            await settle(page)
            path = folder / f"{name}-{theme}-{width}.png"
            await page.screenshot(path=path, full_page=whole and WINDOW not in wanted, animations="disabled")

        def chosen(name: str) -> bool:
            return name in wanted or not set(wanted) - {WINDOW}

        for name, path in tour.signed_out.items():
            if chosen(name):
                await reader.open(path, page)
                await take(name)
        await reader.sign_in(tour.operator)
        for name, path in tour.signed_in.items():
            if chosen(name):
                await reader.open(path, page)
                if name == "playground":
                    await speak(page)
                await take(name)
        for name, (path, link) in tour.dialogs.items():
            if chosen(f"dialog-{name}"):
                await reader.open(path, page)
                await page.get_by_role("link", name=link).click()
                await expect(page.get_by_role("dialog").locator("#panel")).to_be_visible()
                await take(f"dialog-{name}", whole=False)
        for name, (path, status) in tour.faulty.items():
            if chosen(name):
                with reader.expecting(f"status of {status}"):
                    await reader.open(path, page)
                await take(name)
        for name, (path, fields, button) in tour.failing.items():
            if chosen(name):
                with reader.expecting("status of 4"):
                    await reader.open(path, page)
                    await fill(page, fields, button)
                await take(name)


async def main(folder: Path, wanted: Sequence[str]) -> None:
    """`wanted`: names of pages; none means all."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="aldea-screens-") as data:
        Path(data).chmod(0o711)  # PostgreSQL runs as a user of its own where this runs as root
        box = start_box(Path(data) / "box")
        try:
            box.wait_ready()
            async with aiohttp.ClientSession() as http:
                platform = Platform(box, http)
                tour = await furnish(platform)
                async with streams(platform, tour, http):
                    await shoot(platform, tour, folder, wanted)
        finally:
            box.end()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
