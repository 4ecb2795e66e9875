"""`python -m tests.e2e.screenshots FOLDER [NAME …]`: every page of the console in both themes and widths, as PNG.

It starts a platform of its own, furnishes it and stops it. A picture is called after its page, theme and width.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from playwright.async_api import Page, expect

from tests.e2e.box import start_box
from tests.e2e.browser import THEMES, WIDTHS, Platform, Theme, chromium, reader_of, window
from tests.e2e.tour import Tour, furnish, settle


async def speak(page: Page) -> None:
    """Something for the playground to show."""
    await page.get_by_role("button", name="Start speaking").click()
    await expect(page.locator("#utterances .interim")).to_be_visible(timeout=30_000)
    await page.wait_for_function("() => document.querySelectorAll('#utterances .word').length > 24")
    await expect(page.locator("#utterances .interim")).to_be_visible(timeout=30_000)


async def shoot(platform: Platform, tour: Tour, folder: Path, wanted: Sequence[str]) -> None:
    async with chromium() as browser:
        for width in WIDTHS:
            for theme in THEMES:
                await _shoot(browser, platform, tour, folder, wanted, width, theme)


async def _shoot(
    browser: object, platform: Platform, tour: Tour, folder: Path, wanted: Sequence[str], width: int, theme: Theme
) -> None:
    async with reader_of(browser, platform.console, **window(width, theme), timezone_id="Europe/Berlin") as reader:  # type: ignore[arg-type]
        page = await reader.context.new_page()

        async def take(name: str, *, whole: bool = True) -> None:
            await settle(page)
            await page.screenshot(path=folder / f"{name}-{theme}-{width}.png", full_page=whole, animations="disabled")

        def chosen(name: str) -> bool:
            return not wanted or name in wanted

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
        if chosen("lost"):
            with reader.expecting("status of 404"):
                await reader.open(tour.lost, page)
            await take("lost")


async def main(folder: Path, wanted: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="aldea-screens-") as data:
        Path(data).chmod(0o711)  # PostgreSQL runs as a user of its own where this runs as root
        box = start_box(Path(data) / "box")
        try:
            box.wait_ready()
            async with aiohttp.ClientSession() as http:
                platform = Platform(box, http)
                await shoot(platform, await furnish(platform), folder, wanted)
        finally:
            box.end()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
