"""`python -m tests.e2e.dashboards FOLDER [MINUTES]`: the dashboards as PNG, drawn by the page of `make observe`.

It starts a platform of its own with Prometheus, before two stand-ins for STT servers, gives a project a past, puts the
platform under load for 8 or so many minutes, with refusals and a server that fails, and takes a picture of each.
"""

import asyncio
import random
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from onebox.home import ROOT
from onebox.observe.drawn import FOLDER as DASHBOARDS
from tests.e2e.box import Box, environment, start_box
from tests.e2e.browser import Account, Platform, chromium, reader_of
from tests.e2e.tour import past
from tests.fakes.words import RATE, WordServer, audio_of

WIDTH: Final = 1200
MINUTES: Final = 8.0
# Streams at a time, by the seconds of silence before their first words.
LOADS: Final = {0.3: 9, 1.4: 5}
PLACES: Final = 12
# Of all the time, when a server fails; for so many seconds.
FAILS_AT: Final = (0.4, 0.75)
FAILS_SECONDS: Final = 20
# What is on a dashboard of days does not come from these minutes.
OF_DAYS: Final = ("customer", "money")


async def limited(platform: Platform) -> list[str]:
    """Keys of projects that may do little: few requests, little audio."""
    keys = []
    for name, project, limits in (
        ("Ada Lovelace", "Analytical engine", {"requests_per_minute": 6}),
        ("Jules Verne", "Nautilus", {"monthly_audio_seconds": 5}),
    ):
        account = await platform.sign_up(name, project)
        await asyncio.to_thread(platform.appoint, account)
        await platform.call("PATCH", f"/v1/operator/projects/{account.project_id}/limits", account.session, limits)
        keys.append(str((await platform.make_key(account))["key"]))
    return keys


async def furnish(platform: Platform) -> tuple[Account, str]:
    """A project with some weeks behind it, and a key."""
    account = await platform.sign_up("Grace Hopper", "Radio archive")
    key = await platform.make_key(account, "production server")
    dice = random.Random(7)
    readings = [
        replace(each, first_word_ms=round(dice.lognormvariate(6.8, 0.4)) if each.service == "streaming" else None)
        for each in past(account.project_id, [key["api_key_id"]] * 3)
    ]
    await platform.write(readings)
    return account, str(key["key"])


async def silence(platform: Platform, http: aiohttp.ClientSession, key: str, until: float) -> None:
    """A customer whose microphone is off, again and again."""
    url = f"{platform.box.ws}/v1/listen?encoding=linear16&sample_rate=16000"
    while time.monotonic() < until:
        with suppress(aiohttp.ClientError, ConnectionError):  # no server has room for it just now
            async with http.ws_connect(url, headers={"Authorization": f"Token {key}"}) as socket:
                for _ in range(25):
                    await socket.send_bytes(bytes(2 * RATE))
                    await asyncio.sleep(1)
        await asyncio.sleep(1)


class Engine(WordServer):
    """One that takes recorded audio, too."""

    def app(self) -> web.Application:
        app = super().app()
        app.router.add_post("/v1/listen", self._upload)
        return app

    async def _upload(self, request: web.Request) -> web.Response:
        size = 0
        async for piece in request.content.iter_any():
            size += len(piece)
        await asyncio.sleep(random.uniform(1, 3))
        return web.json_response(
            {
                "metadata": {"duration": size / (2 * RATE), "channels": 1},
                "results": {"channels": [{"alternatives": [{"transcript": "words", "confidence": 1.0, "words": []}]}]},
            }
        )


def sample(folder: Path, silence: float) -> Path:
    """A recording whose words begin after so many seconds."""
    path = folder / f"{silence}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(2 * round(silence * RATE)) + audio_of(1, 400))
    return path


async def load(box: Box, key: str, seconds: float, folder: Path, silence: float, streams: int) -> None:
    """Real-time streams and an upload at a time, for so long."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "aldea.load", "--url", box.http, "--streams", str(streams), "--ramp", "20",
        "--hold", f"{max(1.0, seconds - 20):.0f}", "--uploads", "1", "--stream-seconds", "24",
        "--sample", str(sample(folder, silence)), "--report", str(folder / f"load-{silence}"),
        env=environment(ALDEA_KEY=key), cwd=ROOT,
    )  # fmt: skip
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()


async def refusals(platform: Platform, http: aiohttp.ClientSession, keys: Sequence[str], until: float) -> None:
    """Clients without a key, and projects that request more than they may."""
    url = f"{platform.box.ws}/v1/listen?encoding=linear16&sample_rate=16000"
    while time.monotonic() < until:
        for headers in ({}, *({"Authorization": f"Token {key}"} for key in keys)):
            with suppress(aiohttp.ClientError, ConnectionError):
                async with http.ws_connect(url, headers=headers) as socket:
                    await socket.send_bytes(audio_of(1, 20))
                    await socket.send_str('{"type":"CloseStream"}')
                    async for _message in socket:
                        pass
        await asyncio.sleep(4)


async def faults(engine: WordServer, began: float, seconds: float) -> None:
    """A server resets all its streams and is gone for a while."""
    for part in FAILS_AT:
        await asyncio.sleep(max(0.0, began + part * seconds - time.monotonic()))
        await engine.stop()
        await asyncio.sleep(FAILS_SECONDS)
        await engine.start()


async def shoot(box: Box, account: Account, minutes: float, folder: Path) -> None:
    """A picture of each dashboard."""
    origin = f"http://127.0.0.1:{box.state['ports']['observe']}"
    size = {"width": WIDTH, "height": 800}
    async with chromium() as browser, reader_of(browser, origin, viewport=size, color_scheme="light") as reader:
        page = await reader.context.new_page()
        for path in sorted(DASHBOARDS.glob("*.json")):
            query = f"?from=now-{round(minutes) + 1}m" if path.stem not in OF_DAYS else ""
            query += f"?project={account.project_id}" if path.stem == "customer" else ""
            await reader.open(f"/dashboards/{path.stem}{query}", page)
            await page.wait_for_selector("main[data-drawn]")
            await page.screenshot(path=folder / f"dashboard-{path.stem}.png", full_page=True)


async def main(folder: Path, minutes: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="aldea-dashboards-") as data:
        Path(data).chmod(0o711)  # PostgreSQL runs as a user of its own where this runs as root
        engines = [await Engine(PLACES).start() for _ in range(2)]
        upstreams = ",".join(engine.url for engine in engines)
        box = start_box(Path(data) / "box", "run", "--no-demo", "--observe", STT_UPSTREAMS=upstreams)
        try:
            await asyncio.to_thread(box.wait_ready)
            if "prometheus" not in box.state["ports"]:
                sys.exit("Prometheus is not installed; the dashboards are drawn from its data (Debian: prometheus).")
            async with aiohttp.ClientSession() as http:
                platform = Platform(box, http)
                account, key = await furnish(platform)
                little = await limited(platform)
                began, seconds = time.monotonic(), 60 * minutes
                await asyncio.gather(
                    *(load(box, key, seconds, Path(data), *each) for each in LOADS.items()),
                    refusals(platform, http, little, began + seconds),
                    silence(platform, http, key, began + seconds),
                    faults(engines[0], began, seconds),
                )
                await shoot(box, account, minutes, folder)
        finally:
            await asyncio.to_thread(box.end)
            for engine in engines:
                await engine.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).resolve(), float(sys.argv[2]) if len(sys.argv) > 2 else MINUTES))
