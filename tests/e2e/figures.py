"""`python -m tests.e2e.figures`: what each page of the console weighs and costs, on a platform of its own.

Per page, with a cold cache: files and bytes on the wire, the longest task of the page's thread (what takes 50 ms or
less is no long task and counts as none), when the largest part was painted, how much the layout shifted. A task's time
is the clock's, so it grows with whatever else the machine does; one more view of each page, traced, says how much CPU
time its dearest task takes.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Browser

from tests.e2e.box import start_box
from tests.e2e.browser import Platform, chromium, reader_of
from tests.e2e.tour import OBSERVE, Tour, furnish, settle

PAGES = (
    "login", "overview", "first-steps", "playground", "keys", "usage", "requests", "billing", "statement", "limits",
    "alerts", "members", "audit", "operator",
)  # fmt: skip
RUNS = 5
PAINTED = """() => new Promise((done) => new PerformanceObserver((list) => {
    done(Math.round(list.getEntries().at(-1).startTime));
}).observe({ type: "largest-contentful-paint", buffered: true }))"""


def dearest(trace: bytes) -> float:
    """The CPU time of the dearest task of any page's main thread, in ms."""
    events = json.loads(trace)["traceEvents"]
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks: list[int] = [
        event["tdur"]
        for event in events
        if event["name"] == "ThreadControllerImpl::RunTask"
        and (event["pid"], event["tid"]) in threads
        # Not those at the edges of the trace, which have no end or no CPU time.
        and "tdur" in event
    ]
    assert tasks, "a trace without a task: does this browser call them otherwise?"
    return max(tasks) / 1000


async def traced(browser: Browser, platform: Platform, tour: Tour, name: str) -> float:
    """The most expensive task of one page view."""
    async with reader_of(browser, platform.console) as reader:
        if name in tour.signed_in:
            await reader.sign_in(tour.operator)
        page = await reader.context.new_page()
        await browser.start_tracing(page=page, categories=["toplevel"])
        await reader.open({**tour.signed_out, **tour.signed_in}[name], page)
        await page.wait_for_load_state("networkidle")
        return dearest(await browser.stop_tracing())


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
    heads = ("page", "files", "KB on the wire", f"longest task over 50 ms, of {RUNS} visits", "dearest task, CPU time")
    lines = [
        f"| {' | '.join(heads)} | painted (median) | shift |",
        "|---|---|---|---|---|---|---|",
    ]
    async with chromium() as browser:
        await visit(browser, platform, tour, "login")  # the browser itself warms up
        for name in PAGES:
            found = [await visit(browser, platform, tour, name) for _ in range(RUNS)]
            weight, longest = max(one["bytes"] for one in found) / 1024, max(one["task"] for one in found)
            painted = sorted(one["painted"] for one in found)[RUNS // 2]
            shift = max(one["shift"] for one in found)
            task = f"{longest} ms" if longest else "none"
            dear = await traced(browser, platform, tour, name)
            lines.append(
                f"| {name} | {found[0]['files']} | {weight:.0f} | {task} | {dear:.0f} ms | {painted} ms | {shift:.3f} |"
            )
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
