"""The Platform API's client: one deadline for a call, two kinds of failure, the session in `Authorization` alone."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
from aiohttp import web
from pydantic import ValidationError
from yarl import URL

from aldea.errors import without_page
from aldea.tracing.requests import calling, passed_on
from aldea.tracing.spans import Span
from frontend.models import Model

# Connections kept to the API; a page makes a handful of calls.
MAX_CONNECTIONS: Final = 100
# A response beyond this is none of the API's JSON (its longest list has a thousand short rows).
MAX_RESPONSE_BYTES: Final = 8 << 20
CHUNK_BYTES: Final = 64 * 1024

# A list is a parameter that is repeated.
Query = Mapping[str, str | int | list[str] | None]
Read = TypeVar("Read", bound=Model)
Found = TypeVar("Found")


class ApiDown(Exception):
    """The API cannot be reached, is too slow, or says itself that it cannot serve now."""


class ApiRefusal(Exception):
    """The API said no. `message` is its own sentence, fit for the reader; `request_id` finds it in the API's log."""

    def __init__(
        self, status: int, err_code: str, message: str, *, request_id: str = "", retry_after: str | None = None
    ) -> None:
        super().__init__(f"{status} {err_code}: {message}")
        self.status = status
        self.err_code = err_code
        self.message = message
        self.request_id = request_id
        self.retry_after = retry_after


# Statuses from the API or its load balancer that are not the request's fault.
_DOWN: Final = frozenset({502, 503, 504})


class PlatformApi:
    """Calls the Platform API. `timeout`: seconds for one call from connection to last byte."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, *, timeout: float) -> None:
        self._http = http
        self._base = base_url.rstrip("/")
        self._timeout = timeout
        url = URL(base_url)
        self._server = {"server.address": url.host or "", "server.port": url.port or 0}

    async def check(self) -> None:
        """Return if the API responds. Raises ApiDown, ApiRefusal."""
        await self.call("GET", "/healthz")

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        address: str = "",
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        agent: str = "",
    ) -> Any:
        """One call; its JSON. `address`: the reader's, for the API's throttles. Raises ApiDown, ApiRefusal.

        `agent`: what the reader's browser calls itself, where the API is to know it.
        """
        with calling(method, self._server) as span:
            sent = self._request(method, path, token, address, query, body, agent, span)
            try:
                async with asyncio.timeout(self._timeout), sent as got:
                    return await _read(_noted(got, span))
            except TimeoutError:
                raise ApiDown(f"no response within {self._timeout:g} s") from None
            except (aiohttp.ClientError, OSError) as error:
                raise ApiDown(f"{type(error).__name__}: {error}") from error

    @asynccontextmanager
    async def download(
        self, path: str, *, token: str, address: str = "", query: Query | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A long response, to be read as it comes; each read has the deadline. Raises ApiDown, ApiRefusal."""
        with calling("GET", self._server) as span:
            try:
                async with self._request("GET", path, token, address, query, None, "", span) as got:
                    if _noted(got, span).status >= 400:
                        await _read(got)
                    yield got
            except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
                raise ApiDown(f"{type(error).__name__}: {error}") from error

    def _request(
        self,
        method: str,
        path: str,
        token: str | None,
        address: str,
        query: Query | None,
        body: Any,
        agent: str,
        span: Span | None,
    ) -> "aiohttp.client._RequestContextManager":
        headers = {"Accept": "application/json", **passed_on(span)}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if address:
            headers["X-Forwarded-For"] = address
        if agent:
            headers["User-Agent"] = agent
        wanted = {
            name: value if isinstance(value, list) else str(value)
            for name, value in (query or {}).items()
            if value not in (None, "")
        }
        url = URL(self._base + path, encoded=True).update_query(wanted)
        deadline = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=self._timeout)
        return self._http.request(method, url, headers=headers, json=body, timeout=deadline, allow_redirects=False)


def _noted(response: aiohttp.ClientResponse, span: Span | None) -> aiohttp.ClientResponse:
    if span is not None:
        span.note({"http.response.status_code": response.status})
    return response


async def _read(response: aiohttp.ClientResponse) -> Any:
    """The response's JSON. Raises ApiDown, ApiRefusal."""
    raw = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        raw += chunk
        if len(raw) > MAX_RESPONSE_BYTES:
            raise ApiDown(f"a response of more than {MAX_RESPONSE_BYTES} bytes")
    found = _json(bytes(raw))
    if response.status < 400:
        if found is None and raw:
            raise ApiDown("a response that is not JSON")
        return found
    fields = found if isinstance(found, dict) else {}
    # The console explains errors where they happen; the API's pages are at another host.
    message = without_page(str(fields.get("err_msg") or f"The Platform API responded with status {response.status}."))
    if response.status in _DOWN:
        raise ApiDown(message)
    raise ApiRefusal(
        response.status,
        str(fields.get("err_code") or ""),
        message,
        request_id=str(fields.get("request_id") or response.headers.get("dg-request-id", "")),
        retry_after=response.headers.get("Retry-After"),
    )


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class SignedInApi:
    """The API on behalf of one signed-in reader."""

    api: PlatformApi
    token: str
    address: str

    async def get(self, path: str, model: type[Read], **query: str | int | list[str] | None) -> Read:
        """GET a `model`. Raises ApiDown, ApiRefusal, as all of these do."""
        return as_model(model, await self._call("GET", path, query=query))

    async def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Query | None = None
    ) -> None:
        """POST, PUT, PATCH or DELETE with a JSON body; what the response says is not needed."""
        await self._call(method, path, query=query, body=body)

    async def make(self, method: str, path: str, model: type[Read], body: Mapping[str, Any] | None = None) -> Read:
        """The same, for a response that is needed: a `model`."""
        return as_model(model, await self._call(method, path, body=body))

    async def _call(
        self, method: str, path: str, *, query: Query | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        return await self.api.call(method, path, token=self.token, address=self.address, query=query, body=body)


def as_model(model: type[Read], found: Any) -> Read:
    """What a response says, as the console knows it. Raises ApiDown for a response of another shape."""
    try:
        return model.model_validate(found)
    except ValidationError as error:
        fields = sorted({".".join(str(part) for part in fault["loc"]) or "(all of it)" for fault in error.errors()})
        raise ApiDown(f"a response that is no {model.__name__}: {', '.join(fields[:5])}") from None


async def if_any(call: Awaitable[Found]) -> Found | None:
    """A response that a page can do without: None where the API refuses it. A 401 is raised: the session has ended."""
    try:
        return await call
    except ApiRefusal as refusal:
        if refusal.status == 401:
            raise
        return None


def segment(text: str) -> str:
    """`text` as one segment of a path, whatever it holds."""
    return quote(text, safe="")


API: Final = web.AppKey("platform-api", PlatformApi)
