"""One connection to Redis that many exchanges share at once: bytes out, responses back in the order of the commands.

redis-py spends several times Redis' own work on each command. It still makes the connection (address, TLS, AUTH,
SELECT); from then on commands are bytes for the transport, and responses come from hiredis, nothing between.
"""

import asyncio
from collections import deque
from typing import Any, Final

import hiredis
from redis import exceptions
from redis.asyncio.connection import AbstractConnection, DefaultParser

# What hiredis returns while a response has not come whole; None and False are responses.
_NOT_YET: Final = object()


def pack(command: tuple[str | int, ...]) -> bytes:
    """A command as Redis' protocol has it. Raises UnicodeEncodeError for text that is none."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub knows one-tuples only
    return packed


class Wire(asyncio.Protocol):
    """A connection in use. Callers set the deadlines, and `retire` the wire once one has passed."""

    def __init__(self, connection: AbstractConnection, writer: asyncio.StreamWriter) -> None:
        self._connection = connection
        self._writer = writer  # its end would close the transport, so it is kept as long as that
        self._transport = writer.transport
        self._loop = asyncio.get_running_loop()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._retired = False
        self._waiting: deque[tuple[asyncio.Future[list[Any]], int]] = deque()
        self._responses: list[Any] = []  # of the first that waits
        self._reader = hiredis.Reader(
            protocolError=exceptions.InvalidResponse,
            replyError=DefaultParser.parse_error,
            encoding="utf-8",
            errors="replace",
            notEnoughData=_NOT_YET,
        )

    @classmethod
    async def open(cls, connection: AbstractConnection) -> "Wire":
        """Connect as redis-py does, then take the connection over. Raises what redis-py raises."""
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        # redis-py has no public way to hand a connection over; from here on it knows of none.
        writer = connection._writer  # noqa: SLF001
        if writer is None:
            raise exceptions.ConnectionError("the connection was lost while it was made")
        connection._writer = connection._reader = None  # noqa: SLF001
        wire = cls(connection, writer)
        writer.transport.set_protocol(wire)
        if writer.transport.is_closing():
            wire.connection_lost(None)
        return wire

    @property
    def usable(self) -> bool:
        """Whether another exchange may begin."""
        return not self._retired and not self._gone.done()

    def exchange(self, commands: bytes, count: int) -> "asyncio.Future[list[Any]]":
        """Send `count` packed commands. The future holds their responses, errors among them as exceptions.

        It fails with redis' ConnectionError or InvalidResponse, and may be cancelled: its responses are dropped then.
        """
        responses: asyncio.Future[list[Any]] = self._loop.create_future()
        if self.usable:
            self._waiting.append((responses, count))
            self._transport.write(commands)
        else:
            responses.set_exception(exceptions.ConnectionError("the connection to Redis is closed"))
        return responses

    def retire(self) -> None:
        """Begin nothing new; close once nobody waits for a response any more."""
        self._retired = True
        if all(responses.done() for responses, _ in self._waiting):
            self._transport.abort()

    async def close(self) -> None:
        """Close at once and wait for the end."""
        self._transport.abort()
        await self._gone

    def data_received(self, data: bytes) -> None:
        """Take what came; hand out the responses that are whole."""
        try:
            self._reader.feed(data)
            while (response := self._reader.gets()) is not _NOT_YET:
                self._take(response)
        except exceptions.InvalidResponse as error:
            self._lose(error)
            self._transport.abort()
            return
        if self._retired:
            self.retire()

    def _take(self, response: Any) -> None:
        if not self._waiting:
            raise exceptions.InvalidResponse("Redis sent a response to no command")
        self._responses.append(response)
        waiting, count = self._waiting[0]
        if len(self._responses) == count:
            self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(self._responses)
            self._responses = []

    def connection_lost(self, exc: BaseException | None) -> None:
        """Fail every call that waits."""
        reason = f"{type(exc).__name__}: {exc}" if exc is not None else "Redis closed the connection"
        self._lose(exceptions.ConnectionError(reason))
        if not self._gone.done():
            self._gone.set_result(None)

    def _lose(self, error: Exception) -> None:
        self._retired = True
        while self._waiting:
            responses, _ = self._waiting.popleft()
            if not responses.done():
                responses.set_exception(error)
