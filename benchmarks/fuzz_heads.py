"""Heads of requests and responses against both readers of them: `make fuzz-heads` (ARGS="--seed 7 --inputs 100000").

Whatever http_proxy takes for a plain upload or response, aiohttp's parser must take as well, and read the same in it:
first line, fields, length, connection, and where the body begins. What is not plain is aiohttp's alone, so nothing can
be read in two ways.
"""

import argparse
import asyncio
import random
import sys
import time
from typing import Any, Final

from aiohttp import HttpVersion11
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, HttpResponseParser
from aiohttp.http_exceptions import HttpProcessingError

from aldea.service.request_head import tidied
from http_proxy.raw.head import PlainHead, plain_head
from http_proxy.raw.response_head import PlainResponse, plain_response

_TARGETS: Final = (
    b"/v1/listen", b"/listen/v1", b"/transcribe", b"/v1/listen?model=general&tag=a%20b", b"/v1/listen?",
    b"/v1/listen?a?b",
    b"/v1/listen?callback=http://x", b"/v1/listen#x", b"//v1/listen", b"http://x/v1/listen", b"*",
    b"/v1/listen?a=\xc3\xa4",
    b"/v1/listen?a=[1]&b={2}|\\^", b"/v1/listen/", b"/v1/%6cisten",
)  # fmt: skip
_FIELDS: Final = (
    b"Host: api.example", b"Host: api.example:8080", b"host: [::1]:80", b"Host: a/b", b"Host:",
    b"Authorization: Token abc",
    b"authorization:Bearer abc", b"Content-Type: audio/wav", b"Content-Type: application/json",
    b"Connection: keep-alive",
    b"Connection: close", b"Connection: Close", b"Connection: close, keep-alive", b"Connection: upgrade",
    b"Connection: content-length", b"Upgrade: websocket", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
    b"transfer-encoding : chunked", b"Content-Encoding: gzip", b"Expect: 100-continue",
    b"X-Forwarded-For: 1.2.3.4, 5.6.7.8",
    b"Accept: */*", b"User-Agent: x (y; z)", b"X-A: a\tb", b"X-B: \xc3\xa4", b"X-C: a  b ", b"X-D:  a", b"X-E: a\x00b",
    b"X-F: a\rb", b"X-G: a\nb", b" folded: x", b"\tfolded", b"X H: a", b"X-I : a", b"X-J", b": a", b"X-K:",
    b"Te: trailers",
    b"Trailer: X", b"Proxy-Connection: close", b"Keep-Alive: timeout=5", b"Sec-WebSocket-Key1: x", b"Cookie: a=b; c=d",
    b"X-Long: " + b"x" * 9000, b'X-Quote: "a\\"b"', b"X-Sharp: #a{}|~`^",
)  # fmt: skip
_PLAIN: Final = (
    b"Authorization: Token abc", b"Content-Type: audio/wav", b"Connection: keep-alive", b"connection:Close",
    b"Accept: */*",
    b"User-Agent: x (y; z)", b"X-Forwarded-For: 1.2.3.4, 5.6.7.8", b"Cookie: a=b; c=d", b'X-Quote: "a\\"b"', b"X: a  b",
)  # fmt: skip
_LENGTHS: Final = (
    b"Content-Length: 5", b"content-length: 5", b"Content-Length:5", b"Content-Length: 0", b"Content-Length: 05",
    b"Content-Length: +5", b"Content-Length: -5", b"Content-Length: 5, 5", b"Content-Length: 0x5",
    b"Content-Length: 5 5",
    b"Content-Length : 5", b"Content-Length: 5\t", b"Content-Length: 99999999999999999999", b"Content-Length: 5_0",
)  # fmt: skip
_LINES: Final = (
    b"POST %b HTTP/1.1", b"POST  %b HTTP/1.1", b"post %b HTTP/1.1", b"GET %b HTTP/1.1", b"POST %b HTTP/1.0",
    b"POST %b HTTP/1.10", b"POST %b HTTP/2.0", b" POST %b HTTP/1.1", b"\r\nPOST %b HTTP/1.1", b"POST %b HTTP/1.1 ",
    b"POST %b", b"POSTX %b HTTP/1.1",
)  # fmt: skip
_STATUSES: Final = (
    b"HTTP/1.1 200 OK", b"HTTP/1.1 400 Bad Request", b"HTTP/1.1 503 a  b", b"HTTP/1.1 200 ", b"HTTP/1.1 200",
    b"HTTP/1.0 200 OK", b"HTTP/1.1 100 Continue", b"HTTP/1.1 101 Switching", b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 2000 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1 200\tOK", b"ICY 200 OK",
    b"HTTP/1.1 200 \xc3\xa4", b"HTTP/1.1 600 OK", b"HTTP/1.1 205 Reset",
)  # fmt: skip
_BODY: Final = b"audioPOST /v1/listen HTTP/1.1\r\n"
_ODD: Final = b"\r\n\t \x00\x0b\x0c\x7f\x80\xff:;,/?#%+-_\"'\\(){}[]"
_PROGRESS_SECONDS: Final = 5.0


class _Protocol(BaseProtocol):
    """What a parser wants to pause."""


def _head(chance: random.Random, line: bytes, fields: list[bytes]) -> bytes:
    fields += [chance.choice(_LENGTHS[:3] if chance.random() < 0.7 else _LENGTHS)]
    fields += chance.sample(_PLAIN, chance.randrange(4))
    fields += chance.sample(_FIELDS, chance.choice((0, 0, 0, 1, 1, 2)))
    chance.shuffle(fields)
    end = b"\r\n" if chance.random() < 0.95 else chance.choice((b"\n", b"\r", b"\r\r\n", b"\n\r"))
    data = bytearray(end.join([line, *fields, b"", b""]) + _BODY)
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
        at = chance.randrange(len(data) - len(_BODY))
        byte = chance.choice(_ODD) if chance.random() < 0.7 else chance.randrange(256)
        match chance.randrange(3):
            case 0:
                data[at] = byte
            case 1:
                del data[at]
            case _:
                data.insert(at, byte)
    return bytes(data)


def request(chance: random.Random) -> bytes:
    """A request: nearly always whole, often plain, sometimes with one byte of it changed, taken out or put in."""
    target = chance.choice(_TARGETS[:4] if chance.random() < 0.8 else _TARGETS)
    line = _LINES[0] if chance.random() < 0.9 else chance.choice(_LINES)
    return _head(chance, line % target, [b"Host: api.example"] if chance.random() < 0.9 else [])


def response(chance: random.Random) -> bytes:
    """A response, likewise."""
    return _head(chance, chance.choice(_STATUSES[:3] if chance.random() < 0.8 else _STATUSES), [])


def of_aiohttp(
    data: bytes, kind: type[HttpRequestParser] | type[HttpResponseParser], loop: asyncio.AbstractEventLoop
) -> tuple[Any, bytes] | None:
    """What aiohttp reads of `data`'s first message: its head, and of its body what there is; None if it refuses it."""
    parser = kind(_Protocol(loop), loop, 1 << 16, max_line_size=8190, max_field_size=8190, auto_decompress=False)
    try:
        messages, _, _ = parser.feed_data(data)
    except HttpProcessingError:
        return None
    if not messages:
        return None
    message, body = messages[0]
    return message, body.read_nowait()


def compare_request(data: bytes, loop: asyncio.AbstractEventLoop) -> bool:
    """Whether `data` begins with a plain upload. Raises AssertionError if aiohttp reads that in another way."""
    ours = plain_head(data)
    if ours is None:
        return False
    # Of what follows the body both would make a next request, or refuse it; that is the next head's matter.
    theirs = of_aiohttp(data[: ours.size + ours.length], HttpRequestParser, loop)
    assert theirs is not None, f"aiohttp refuses {data!r}"
    message = theirs[0]
    read = (message.method, message.version, message.url.raw_path, message.url.raw_query_string)
    assert read == ("POST", HttpVersion11, ours.path, ours.query), f"{read} of {data!r}"
    assert message.should_close is not ours.keep_alive, f"whether it is kept, of {data!r}"
    assert tidied(message) is message, f"it is tidied: {data!r}"
    _same(data, ours, *theirs)
    return True


def compare_response(data: bytes, loop: asyncio.AbstractEventLoop) -> bool:
    """Whether `data` begins with a plain response. Raises AssertionError if aiohttp reads that in another way."""
    ours = plain_response(data)
    if ours is None:
        return False
    theirs = of_aiohttp(data[: ours.size + ours.length], HttpResponseParser, loop)
    assert theirs is not None, f"aiohttp refuses {data!r}"
    message = theirs[0]
    read = (message.version, message.code, message.reason, bool(message.should_close))
    assert read == (HttpVersion11, ours.code, ours.reason, ours.should_close), f"{read} of {data!r}"
    _same(data, ours, *theirs)
    return True


def _same(data: bytes, ours: PlainHead | PlainResponse, message: Any, body: bytes) -> None:
    assert list(message.raw_headers) == ours.headers.raw, f"{message.raw_headers} of {data!r}"
    assert message.headers.getall("Content-Length") == [str(ours.length)], f"its length, of {data!r}"
    assert (message.upgrade, message.chunked, message.compression) == (False, False, None), f"{message} of {data!r}"
    assert body == data[ours.size : ours.size + ours.length], f"its body {body!r}, of {data!r}"


def run(heads: int, seed: int) -> int:
    """Compare so many; how many were plain. Raises AssertionError with the request that is read in two ways."""
    chance = random.Random(seed)
    loop = asyncio.new_event_loop()
    began = said = time.monotonic()
    plain = 0
    try:
        for number in range(heads):
            if chance.random() < 0.5:
                plain += compare_request(request(chance), loop)
            else:
                plain += compare_response(response(chance), loop)
            if number % 1000 == 0 and time.monotonic() - said > _PROGRESS_SECONDS:
                said = time.monotonic()
                print(f"{number:,} heads, {number / (said - began):,.0f} a second", file=sys.stderr)
    finally:
        loop.close()
    return plain


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz_heads", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"{options.inputs:,} heads, seed {options.seed}")
    plain = run(options.inputs, options.seed)
    print(f"{plain:,} of {options.inputs:,} were plain, and aiohttp reads the same in each")


if __name__ == "__main__":
    main()
