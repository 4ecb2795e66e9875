"""Reading on after a WebSocket's end was sent.

A connection that is closed while bytes still come is reset, and its client may lose what was sent last (RFC 9112
section 9.6 says so of HTTP).
"""

import asyncio
from typing import Final

# A client that sent nothing for so long has seen the end, or will see it.
SILENCE_SECONDS: Final = 1.0


class _Discard(asyncio.Protocol):
    """Drops what comes."""

    def __init__(self) -> None:
        self.came = False
        self.ended = asyncio.Event()
        self.lost: BaseException | None = None
        self.closed = False

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - the base class' signature
        self.came = True

    def eof_received(self) -> bool:
        self.ended.set()
        return True  # whoever lingers closes it

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed, self.lost = True, exc
        self.ended.set()


async def discard_the_rest(transport: asyncio.Transport, *, most_seconds: float) -> None:
    """Drop what comes until the client has ended its side or is silent, for `most_seconds` at most."""
    before = transport.get_protocol()
    discard = _Discard()
    transport.set_protocol(discard)
    transport.resume_reading()
    try:
        async with asyncio.timeout(most_seconds):
            discard.came = True
            while discard.came and not discard.ended.is_set():
                discard.came = False
                try:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        await discard.ended.wait()
                except TimeoutError:
                    continue
    except TimeoutError:
        pass
    finally:
        transport.set_protocol(before)
        if discard.closed:
            before.connection_lost(discard.lost)  # type: ignore[arg-type]  # what the transport gave
