from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientResponse, CookieJar
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from frontend.app import make_app
from frontend.settings import FrontendSettings
from tests.fakes.platform_api import EMAIL, PASSWORD, PROJECT, FakePlatformApi


@dataclass
class Console:
    """The console as a browser uses it: cookies kept, forms sent with the token of the page that held them."""

    client: TestClient[Any, Any]
    api: FakePlatformApi

    async def get(self, path: str, *, follow: bool = True, headers: dict[str, str] | None = None) -> "Page":
        async with self.client.get(path, allow_redirects=follow, headers=headers) as response:
            return await Page.of(response)

    async def post(
        self, path: str, fields: dict[str, Any] | None = None, *, form_page: str = "/login", follow: bool = True,
        token: str | None = None, headers: dict[str, str] | None = None,
    ) -> "Page":  # fmt: skip
        if token is None:
            token = (await self.get(form_page)).token
        data = {"csrf": token, **(fields or {})}
        async with self.client.post(path, data=data, allow_redirects=follow, headers=headers) as response:
            return await Page.of(response)

    async def log_in(self) -> "Page":
        return await self.post("/login", {"email": EMAIL, "password": PASSWORD})

    async def submit(self, path: str, fields: dict[str, Any] | None = None, **more: Any) -> "Page":
        """A form of a signed-in reader."""
        return await self.post(path, fields, form_page="/account", **more)

    def project(self, rest: str) -> str:
        return f"/projects/{PROJECT}/{rest}"

    def cookie(self, name: str) -> str | None:
        found = self.client.session.cookie_jar.filter_cookies(URL(str(self.client.make_url("/"))))
        return found[name].value if name in found else None


@dataclass
class Page:
    status: int
    path: str
    text: str
    headers: Any
    written: str

    @classmethod
    async def of(cls, response: ClientResponse) -> "Page":
        written = await response.text(errors="replace")
        # Names are set apart from the sentences around them, which change nothing in what is read.
        text = written.replace("<bdi>", "").replace("</bdi>", "")
        return cls(response.status, response.url.path_qs, text, response.headers, written)

    @property
    def token(self) -> str:
        return self.text.partition('name="csrf" value="')[2].partition('"')[0]


def settings(api_url: str = "http://127.0.0.1:9", **changes: Any) -> FrontendSettings:
    given = {"platform_api_url": api_url, "public_api_url": "http://api.localhost:8080", "cookie_secure": False}
    return FrontendSettings(**{**given, **changes})


@pytest.fixture
def fake_api() -> FakePlatformApi:
    return FakePlatformApi()


@pytest.fixture
async def console(fake_api: FakePlatformApi) -> AsyncIterator[Console]:
    async with fake_api.serving() as url:
        jar = CookieJar(unsafe=True)
        async with TestClient(TestServer(make_app(settings(url))), cookie_jar=jar) as client:
            yield Console(client, fake_api)


@pytest.fixture
async def signed_in(console: Console) -> Console:
    await console.log_in()
    return console
