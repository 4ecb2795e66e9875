"""Opening a WebSocket to a server, down to the raw transport: no client session, no message layer."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from yarl import URL

from aldea.tasks import Deadline
from ws_proxy.websocket.handshake import InvalidHandshake, Refusal, ResponseReader, new_key, upgrade_request


class ConnectFailed(Exception):
    """No connection could be made, or it broke before the handshake's end; the message says why."""


class NoResponse(Exception):
    """The server took the connection but did not finish the handshake in time."""


class Refused(Exception):
    """The server's response is not 101."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"status {refusal.status}")
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Opened:
    """An open WebSocket: reading is paused, `early` is what arrived behind the handshake."""

    transport: asyncio.Transport
    early: bytes


class _Opening(asyncio.Protocol):
    """Waits for the response to the opening request."""

    __slots__ = ("_reader", "outcome", "transport")

    def __init__(self, key: str, loop: asyncio.AbstractEventLoop) -> None:
        self._reader = ResponseReader(key)
        self.outcome: asyncio.Future[bytes | Refusal] = loop.create_future()
        self.outcome.add_done_callback(_retrieved)
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a TCP connection's transport is a full one

    def data_received(self, data: bytes) -> None:
        if self.outcome.done() or self.transport is None:
            return
        try:
            result = self._reader.feed(data)
        except InvalidHandshake as error:
            self.outcome.set_exception(error)
            return
        if result is not None:
            self.transport.pause_reading()
            self.outcome.set_result(result)

    def refusal(self) -> Refusal | None:
        """A refusal whose body is still to come, as far as it is known."""
        return self._reader.refusal()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.outcome.done():
            return
        refusal = self._reader.refusal()
        if refusal is not None:
            self.outcome.set_result(refusal)
        else:
            self.outcome.set_exception(ConnectFailed(f"connection closed before a response ({exc or 'end of stream'})"))


def _retrieved(outcome: "asyncio.Future[bytes | Refusal]") -> None:
    """A failure that nobody awaits any more is not worth a warning."""
    if not outcome.cancelled():
        outcome.exception()


async def open_websocket(
    url: URL,
    headers: Mapping[str, str],
    *,
    connect_seconds: float,
    response_seconds: float,
    tls: ssl.SSLContext | None = None,
    host: str | None = None,
) -> Opened:
    """Connect to `url` (ws or wss) and shake hands; `headers` go with the opening request.

    `connect_seconds` cover the name's resolution, if there is one. `tls`: for wss, the context to verify with (the
    default one if None). `host`: the address to connect to in place of the URL's host, which the certificate still has
    to be for.
    Raises ConnectFailed, NoResponse, Refused or InvalidHandshake; nothing is left open then.
    """
    loop = asyncio.get_running_loop()
    key = new_key()
    secure = url.scheme in ("wss", "https")
    try:
        with Deadline(connect_seconds):
            transport, opening = await loop.create_connection(
                lambda: _Opening(key, loop),
                host or url.host or "",
                url.port or (443 if secure else 80),
                ssl=(tls or ssl.create_default_context()) if secure else None,
                server_hostname=url.host if secure else None,
            )
    except TimeoutError:
        raise ConnectFailed(f"no connection within {connect_seconds:g} s") from None
    except OSError as error:
        raise ConnectFailed(f"no connection: {error.strerror or error}") from None
    outcome = False
    try:
        transport.write(upgrade_request(url, key, headers))
        with Deadline(response_seconds):
            result = await opening.outcome
        outcome = not isinstance(result, Refusal)
    except TimeoutError:
        if (refusal := opening.refusal()) is not None:
            raise Refused(refusal) from None
        raise NoResponse(f"no response to the WebSocket handshake within {response_seconds:g} s") from None
    finally:
        if not outcome:
            transport.abort()
    if isinstance(result, Refusal):
        raise Refused(result)
    return Opened(transport, result)
