"""`python -m tests.e2e.figures`: what each page of the console weighs and costs, on a platform of its own.

Per page, with a cold cache: files and bytes on the wire, the longest task of the page's thread (what takes 50 ms or
less is no long task and counts as none), when the largest part was painted, how much the layout shifted.
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Browser

from tests.e2e.box import start_box
from tests.e2e.browser import Platform, chromium, reader_of
from tests.e2e.tour import OBSERVE, Tour, furnish, settle

PAGES = ("login", "overview", "first-steps", "playground", "keys", "usage", "requests", "members", "audit", "operator")
RUNS = 5
PAINTED = """() => new Promise((done) => new PerformanceObserver((list) => {
    done(Math.round(list.getEntries().at(-1).startTime));
}).observe({ type: "largest-contentful-paint", buffered: true }))"""


async def visit(browser: Browser, platform: Platform, tour: Tour, name: str) -> dict[str, Any]:
    async with reader_of(browser, platform.console) as reader:
        await reader.context.add_init_script(OBSERVE)
        if name in tour.signed_in:
            await reader.sign_in(tour.operator)
        page = await reader.context.new_page()
        wire = await reader.context.new_cdp_session(page)
        received: list[float] = []
        wire.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
        await wire.send("Network.enable")
        await reader.open({**tour.signed_out, **tour.signed_in}[name], page)
        await page.wait_for_load_state("networkidle")
        files, weight = len(received), sum(received)
        painted = await page.evaluate(PAINTED)
        await settle(page)
        observed = await page.evaluate("window.observed")
        shifts = sum(value for value, _ in observed["shifts"])
        return {
            "files": files,
            "bytes": weight,
            "task": max(observed["tasks"], default=0),
            "painted": painted,
            "shift": shifts,
        }


async def measure(platform: Platform) -> list[str]:
    """The lines of a table."""
    tour = await furnish(platform)
    lines = [
        f"| page | files | KB on the wire | longest task over 50 ms, of {RUNS} visits | painted (median) | shift |",
        "|---|---|---|---|---|---|",
    ]
    async with chromium() as browser:
        await visit(browser, platform, tour, "login")  # the browser itself warms up
        for name in PAGES:
            found = [await visit(browser, platform, tour, name) for _ in range(RUNS)]
            weight, longest = max(one["bytes"] for one in found) / 1024, max(one["task"] for one in found)
            painted = sorted(one["painted"] for one in found)[RUNS // 2]
            shift = max(one["shift"] for one in found)
            task = f"{longest} ms" if longest else "none"
            lines.append(f"| {name} | {found[0]['files']} | {weight:.0f} | {task} | {painted} ms | {shift:.3f} |")
    return lines


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="aldea-figures-") as data:
        Path(data).chmod(0o711)  # PostgreSQL runs as a user of its own where this runs as root
        box = start_box(Path(data) / "box")
        try:
            box.wait_ready()
            async with aiohttp.ClientSession() as http:
                lines = await measure(Platform(box, http))
            sys.stdout.write("\n".join(lines) + "\n")
        finally:
            box.end()


if __name__ == "__main__":
    asyncio.run(main())
