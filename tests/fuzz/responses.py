"""What comes back for one request, read byte by byte, and what is wrong with it."""

import asyncio
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from tests.fuzz.inputs import End, Request

# No response, or none that is complete, within this is a hang. (A busy machine may take seconds for speech.)
HANG_SECONDS: Final = 20.0
# After a 101 the stream is listened to for so long, then left.
STREAM_SECONDS: Final = 0.05
_HEADER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[\x20-\x7e]*")
# Pages are for people; what says how a service is needs no error's shape.
_NO_CONTRACT: Final = (b"/healthz", b"/readyz")


@dataclass(slots=True)
class Response:
    """What was received. `status` is 0 where the connection ended without a response."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    faults: list[str] = field(default_factory=list)


async def send(request: Request) -> Response:
    """Send it and read its response; the connection is closed afterwards, whatever came."""
    response = Response()
    # A stream that is broken off may end in a reset, which takes with it what was not read yet.
    owed = request.end is End.WAIT and not request.upgrade
    reader, writer = await asyncio.open_connection("127.0.0.1", request.target.port, limit=1 << 24)
    began = time.monotonic()
    try:
        with suppress(ConnectionError):
            for piece in request.pieces:
                writer.write(piece)
                await asyncio.wait_for(writer.drain(), HANG_SECONDS)
                await asyncio.sleep(0)
            if request.end is End.LEAVE:
                return response
            if request.end is End.HALF_CLOSE:
                writer.write_eof()
        async with asyncio.timeout(HANG_SECONDS):
            await _read(reader, request, response)
    except TimeoutError:
        response.faults.append(f"nothing complete within {time.monotonic() - began:.1f} s (status {response.status})")
    except (ConnectionError, asyncio.IncompleteReadError) as error:
        if owed:
            response.faults.append(f"the connection was cut: {error!r}")
    finally:
        if request.end is End.LEAVE:
            writer.transport.abort()
        writer.close()
    if response.status and not response.faults:
        _judge(request, response)
    elif not response.status and owed and not response.faults:
        response.faults.append("no response at all")
    return response


async def _read(reader: asyncio.StreamReader, request: Request, response: Response) -> None:
    while response.status in {0, 100}:
        head = await reader.readuntil(b"\r\n\r\n") if request.end is End.WAIT else await _head_or_end(reader)
        if not head:
            return
        lines = head[:-4].split(b"\r\n")
        parts = lines[0].split(b" ", 2)
        if len(parts) < 3 or parts[0] not in {b"HTTP/1.1", b"HTTP/1.0"} or not parts[1].isdigit():
            response.faults.append(f"no status line: {lines[0]!r}")
            return
        response.faults += [f"malformed header {line!r:.200}" for line in lines[1:] if not _HEADER.fullmatch(line)]
        response.status = int(parts[1])
        response.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])
        }
    if response.status == 101:
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(), STREAM_SECONDS)
        return
    if request.method == b"HEAD" or response.status in {204, 304}:
        return
    if response.headers.get(b"transfer-encoding") == b"chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            response.body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
    elif b"content-length" in response.headers:
        response.body = await reader.readexactly(int(response.headers[b"content-length"]))
    else:
        response.body = await reader.read()


async def _head_or_end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as ended:
        if ended.partial:
            raise
        return b""


# Where OpenAI's clients come.
_OPENAIS: Final = (b"/v1/audio/", b"/v1/realtime")


def _judge(request: Request, response: Response) -> None:
    faults = response.faults
    head = b"".join(request.pieces).partition(b"\r\n")[0]
    if response.status == 101 and not (head.startswith(b"GET ") and head.endswith(b" HTTP/1.1")):
        faults.append("an upgrade that is none")
    if response.status >= 500:
        faults.append("a server error")
    if response.headers.get(b"server") != b"aldea":
        faults.append(f"Server: {response.headers.get(b'server')!r}")
    if response.status < 400 or not response.body or b"content-encoding" in response.headers:
        return
    path = request.pieces[0].split(b" ", 2)[1:2]
    if response.headers.get(b"content-type", b"").startswith(b"text/html") or (
        path and path[0].startswith(_NO_CONTRACT)
    ):
        return
    try:
        body = json.loads(response.body.decode(), parse_constant=_no_constant)
        if any(path in head for path in _OPENAIS) and set(body) == {"error"}:  # the shape that its clients read
            body = {"err_code": body["error"]["code"], "err_msg": body["error"]["message"], "request_id": ""}
        body["err_msg"].encode()  # holds no half of a surrogate pair
    except (ValueError, KeyError, TypeError) as error:
        faults.append(f"not the contract's error: {response.body[:200]!r} ({error!r})")
        return
    if set(body) != {"err_code", "err_msg", "request_id"} or len(body["err_msg"]) > 2000:
        faults.append(f"not the contract's error: {str(body)[:300]}")
    elif body["request_id"] and body["request_id"].encode() != response.headers.get(b"dg-request-id", b""):
        faults.append("the request id of the header is not the body's")


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")
