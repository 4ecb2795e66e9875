"""The file of a form as an upload: bounds, and what is refused before the server has the end of it."""

import asyncio
from typing import Any

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from aldea.errors import BadRequest, PayloadTooLarge
from http_proxy.openai.upload import FormUpload
from http_proxy.upload import REPLAY_BYTES, UploadBroken, UploadLimits

LIMITS = UploadLimits(max_bytes=4 * REPLAY_BYTES, stall_seconds=60, min_bytes_per_second=0)
HEADERS = {"Content-Type": "multipart/form-data; boundary=xyz", "Transfer-Encoding": "chunked"}
FILE = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
END = b"\r\n--xyz--\r\n"


async def upload(*pieces: bytes, **headers: str) -> FormUpload:
    loop = asyncio.get_running_loop()
    content = StreamReader(BaseProtocol(loop), 1 << 22, loop=loop)
    request = make_mocked_request("POST", "/", {**HEADERS, **headers}, payload=content)
    for piece in pieces:
        content.feed_data(piece)
    content.feed_eof()
    return FormUpload(request, LIMITS)


async def read(found: Any) -> bytes:
    found.check()
    read = b""
    while not found.complete:
        read += await found.read()
    return read


async def test_the_file_alone_is_read_and_kept_for_another_server() -> None:
    found = await upload(FILE + b"aud", b"io" + END)
    assert await read(found) == b"audio"
    assert b"".join(found.kept) == b"audio"
    assert found.length is None
    assert found.received == len(FILE + b"audio" + END)
    assert found.options is not None


async def test_a_large_file_is_not_kept() -> None:
    found = await upload(FILE, *[b"x" * 65_536] * 5, END)
    assert len(await read(found)) == 5 * 65_536
    assert (found.replayable, found.kept) == (False, [])


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ((FILE + b"audio",), UploadBroken),
        ((b"--xyz--\r\n",), BadRequest),
        ((b'--xyz\r\nContent-Disposition: form-data; name="stream"\r\n\r\nmaybe\r\n' + FILE + b"a" + END,), BadRequest),
        ((FILE, b"x" * (4 * REPLAY_BYTES), END), PayloadTooLarge),
    ],
)
async def test_what_is_no_form_or_requests_what_cannot_be_is_refused(
    pieces: tuple[bytes, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await read(await upload(*pieces))


async def test_a_form_is_sent_as_it_is() -> None:
    found = await upload(FILE, **{"Content-Encoding": "gzip"})
    with pytest.raises(BadRequest):
        found.check()
