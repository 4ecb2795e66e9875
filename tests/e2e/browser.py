"""A reader of the console: a real Chromium, watched for whatever a reader would never report."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    WebError,
    async_playwright,
    expect,
)

from aldea.ids import new_request_id
from aldea.postgres import PostgresSettings, open_database
from aldea.tasks import cancel, spawn
from aldea.usage.reading import Rank, UsageReading
from onebox.balancer import HOSTS
from sqs_updater.writer import Writer
from tests.e2e.box import SAMPLE, Box, run_once
from tests.readings import reading

# A browser that is named must be there; tests skip only where none is named and Debian's is not installed.
NAMED: Final = os.environ.get("CHROMIUM", "")
CHROMIUM: Final = Path(NAMED or "/usr/bin/chromium")
# Each context of a headless Chromium is a whole window, behind which it would load pages of its own for the address
# bar: nearly a second of CPU time, more than most pages of the console take. The last line is for those; the others
# are the driver's own list, which this replaces.
FEATURES_OFF: Final = (
    "AimEnabled", "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay", "MediaRouter", "NetworkTimeServiceQuerying",
    "OptimizationHints", "PaintHolding", "PreconnectToSearch", "ThirdPartyStoragePartitioning",
    "PreloadTopChromeWebUI", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup", "WebUIOmniboxPopup",
)  # fmt: skip
# Nothing of it calls home. Its microphone hears a recording, from its beginning and over again.
ARGUMENTS: Final = (
    f"--disable-features={','.join(FEATURES_OFF)}",
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)  # fmt: skip
PASSWORD: Final = "a long enough sentence"
# Whatever the platform hands out as a secret begins with one of these.
SECRET: Final = re.compile(r"\b(?:org|sess|ats|inv|rst)_[A-Za-z0-9_-]{16,}")
# How long a condition may take on a busy machine, in ms.
PATIENCE_MS: Final = 90_000
# Well below the 10 s of nothing after which a stream is ended.
KEEPALIVE_SECONDS: Final = 2.0
expect.set_options(timeout=PATIENCE_MS)
WIDTHS: Final = (360, 768, 1440)
HEIGHT: Final = 900

Theme = Literal["light", "dark"]
THEMES: Final[tuple[Theme, ...]] = ("light", "dark")


@asynccontextmanager
async def chromium(microphone: Path = SAMPLE) -> AsyncIterator[Browser]:
    """The browser, closed at the end; its microphone hears this WAV. Skips the test, or fails it, if there is none."""
    if not CHROMIUM.exists():
        if NAMED:
            pytest.fail(f"CHROMIUM names {CHROMIUM}, where nothing is: name a Chromium or Chrome, or name none")
        pytest.skip(f"no Chromium at {CHROMIUM}: install it (apt-get install chromium), or say where it is in CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*ARGUMENTS, f"--use-file-for-fake-audio-capture={microphone}"]
        )
        yield browser
        await browser.close()


@dataclass(frozen=True)
class Account:
    """Somebody with an account and a session at the Platform API."""

    email: str
    password: str
    session: str
    project_id: str


class _Database(PostgresSettings):
    port: int = 0


class Platform:
    """The Platform API as a test uses it to prepare what a page shall show, and the database to look at the truth."""

    def __init__(self, box: Box, http: aiohttp.ClientSession) -> None:
        self.box = box
        self.console = f"http://{HOSTS.platform}:{box.port}"
        self.backend = f"http://127.0.0.1:{box.state['ports']['backend']}"
        self._http = http

    async def call(self, method: str, path: str, session: str = "", body: Any = None) -> Any:
        headers = {"X-Forwarded-For": f"198.51.100.{uuid4().int % 250}"}  # a sign-up's address is throttled
        if session:
            headers["Authorization"] = f"Bearer {session}"
        async with self._http.request(method, self.backend + path, json=body, headers=headers) as response:
            assert response.status < 400, f"{method} {path}: {response.status} {await response.text()}"
            return await response.json()

    async def lets_in(self, account: Account) -> bool:
        """Whether its session is still good."""
        headers = {"Authorization": f"Bearer {account.session}"}
        async with self._http.get(f"{self.backend}/v1/me", headers=headers) as response:
            return response.status == 200

    async def sign_up(self, name: str = "Grace Hopper", project: str = "Compilers") -> Account:
        email = f"{name.split(maxsplit=1)[0].lower()}@{uuid4().hex[:8]}.example.com"
        made = await self.call(
            "POST",
            "/v1/accounts",
            body={"email": email, "name": name, "password": PASSWORD, "project_name": project},
        )
        me = await self.call("GET", "/v1/me", made["session_token"])
        return Account(email, PASSWORD, made["session_token"], me["projects"][0]["project_id"])

    def appoint(self, account: Account) -> None:
        """Make somebody an operator of the platform, as one does at the command line."""
        done = run_once(["-m", "backend", "operator", account.email], DATABASE_URL=self.box.state["database_url"])
        assert done.returncode == 0, done.stderr

    async def make_key(self, account: Account, comment: str = "server", **more: Any) -> dict[str, Any]:
        wanted = {"comment": comment, "scopes": ["usage:write"], "tags": [], **more}
        made: dict[str, Any] = await self.call(
            "POST", f"/v1/projects/{account.project_id}/keys", account.session, wanted
        )
        return made

    async def fill_days(self, account: Account, key_id: str, days: int) -> None:
        """Finished streams of the last days, one to three a day."""
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=1, microsecond=0)
        readings = [
            reading(
                request_id=new_request_id(), started_ms=round((midnight - timedelta(day)).timestamp() * 1000) + number,
                project_id=account.project_id, key_id=key_id, lane="local", rank=Rank.FINAL, seq=3,
                audio_ms=61_000 * (day % 9 + 1) + number, audio_source="stt", connection_ms=62_000,
                bytes_in=1_952_000, bytes_out=20_000, status=101, close_code=1000, tags=("web",) if number % 2 else (),
            )
            for day in range(days)
            for number in range(1 + day % 3)
        ]  # fmt: skip
        await self.write(readings)

    async def write(self, readings: Sequence[UsageReading]) -> None:
        """Readings into PostgreSQL, as the pipeline writes them."""
        settings = _Database.model_validate({"database_url": self.box.state["database_url"]})
        async with open_database(settings, "test") as database:
            await Writer(database).merge(readings)

    async def rows(self, query: str, *values: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.box.state["database_url"])
        try:
            found: list[asyncpg.Record] = await connection.fetch(query, *values)
            return found
        finally:
            await connection.close()


class Reader:
    """One person's browser. `faults`: what it complained of; `urls`: whatever it requested."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.context = context
        self.origin = origin
        self.faults: list[str] = []
        self.urls: list[str] = []
        context.set_default_timeout(PATIENCE_MS)
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("request", self._request)
        context.on("requestfailed", self._failed)

    async def open(self, path: str = "/", page: Page | None = None) -> Page:
        page = page or await self.context.new_page()
        await page.goto(path if "://" in path else self.origin + path)
        return page

    async def sign_in(self, account: Account) -> None:
        """As after a login; that the login works is another test's subject."""
        await self.context.add_cookies(
            [{"name": "session", "value": account.session, "url": self.origin, "httpOnly": True, "sameSite": "Lax"}]
        )

    @contextmanager
    def expecting(self, part: str) -> Iterator[None]:
        """The browser complains of `part` meanwhile (it counts every response of 400 and more as an error)."""
        before = len(self.faults)
        yield
        assert [fault for fault in self.faults[before:] if part in fault], f"no {part} in {self.faults[before:]}"
        self.faults[before:] = [fault for fault in self.faults[before:] if part not in fault]

    def check(self) -> None:
        assert not self.faults, self.faults
        leaked = [url for url in self.urls if SECRET.search(url)]
        assert not leaked, f"secrets in addresses: {leaked}"

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning", "assert"}:
            self.faults.append(f"{message.type}: {message.text} at {message.page and message.page.url}")

    def _error(self, error: WebError) -> None:
        self.faults.append(f"uncaught: {error.error}")

    def _request(self, request: Request) -> None:
        self.urls.append(request.url)

    def _failed(self, request: Request) -> None:
        # A page that is left, or a file that is downloaded, aborts its open requests.
        if "ERR_ABORTED" not in (request.failure or ""):
            self.faults.append(f"failed: {request.url} {request.failure}")


@asynccontextmanager
async def reader_of(browser: Browser, origin: str, **options: Any) -> AsyncIterator[Reader]:
    """A new person: no cookies, no cache, and at the end no complaint of the browser's and no secret in an address."""
    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options})
    reader = Reader(context, origin)
    try:
        yield reader
        reader.check()
    finally:
        await context.close()


def window(width: int, theme: Theme) -> Mapping[str, Any]:
    """A context's options: how wide, and what the system says about colours."""
    return {"viewport": {"width": width, "height": HEIGHT}, "color_scheme": theme}


@asynccontextmanager
async def silent_stream(
    http: aiohttp.ClientSession, platform: Platform, key: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A live stream without audio, held open for as long as pages take: 10 s of nothing at all would end it."""
    url = f"{platform.box.ws}/v1/listen?encoding=linear16&sample_rate=16000"

    async def hold(socket: aiohttp.ClientWebSocketResponse) -> None:
        with suppress(aiohttp.ClientConnectionError):  # it is being closed, which is what the test waits for
            while not socket.closed:
                await socket.send_json({"type": "KeepAlive"})
                await asyncio.sleep(KEEPALIVE_SECONDS)

    async with http.ws_connect(url, headers={"Authorization": f"Token {key}"}) as socket:
        holding = spawn(hold(socket), name="keepalives")
        try:
            yield socket
        finally:
            await cancel(holding)


async def close_code(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """The code that the server closes with."""
    async with asyncio.timeout(PATIENCE_MS / 1000):
        async for _ in socket:
            pass
    return socket.close_code
