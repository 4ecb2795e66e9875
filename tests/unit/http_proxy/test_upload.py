"""Uploads: counted, capped, watched for progress."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from aldea import errors
from aldea.tasks import spawn
from http_proxy.upload import REPLAY_BYTES, Upload, UploadBroken, UploadLimits

LIMITS = UploadLimits(max_bytes=1_000_000, stall_seconds=30, min_bytes_per_second=500)


async def upload_of(
    sent: bytes, use: Callable[[Upload], Awaitable[None]], limits: UploadLimits = LIMITS, *, leave: bool = False
) -> None:
    """Send these raw bytes to a server and `use` the upload that it sees; `leave`: then close the connection."""
    outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def handle(request: web.BaseRequest) -> web.Response:
        try:
            await use(Upload(request, limits))
        except BaseException as error:  # noqa: BLE001 - handed to the test
            outcome.set_exception(error)
        else:
            outcome.set_result(None)
        response = web.Response()
        response.force_close()
        return response

    runner = web.ServerRunner(web.Server(handle, lingering_time=0))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    _, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    try:
        writer.write(sent)
        await writer.drain()
        if leave:
            writer.close()
        async with asyncio.timeout(60):
            await outcome
    finally:
        writer.close()
        await runner.cleanup()


def post(*headers: str, body: bytes = b"") -> bytes:
    return "".join(f"{line}\r\n" for line in ("POST / HTTP/1.1", "Host: x", *headers, "")).encode() + body


async def read_all(upload: Upload) -> None:
    while await upload.read():
        pass


async def check(upload: Upload) -> None:
    upload.check()


async def test_a_body_of_fixed_length_is_read_counted_and_kept() -> None:
    async def use(upload: Upload) -> None:
        upload.check()
        await read_all(upload)
        assert upload.complete
        assert upload.received == upload.length == 5
        assert upload.replayable
        assert b"".join(upload.kept) == b"audio"

    await upload_of(post("Content-Length: 5", body=b"audio"), use)


async def test_a_chunked_body_is_read_without_its_framing() -> None:
    async def use(upload: Upload) -> None:
        upload.check()
        assert upload.length is None
        await read_all(upload)
        assert b"".join(upload.kept) == b"audio"

    await upload_of(post("Transfer-Encoding: chunked", body=b"2\r\nau\r\n3\r\ndio\r\n0\r\n\r\n"), use)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ((), errors.LengthRequired),
        (("Content-Length: 0",), errors.BadRequest),
        (("Transfer-Encoding: gzip, chunked",), errors.BadRequest),
        (("Content-Length: 1000001",), errors.PayloadTooLarge),
        (("Content-Length: 5", "Content-Encoding: compress"), errors.BadRequest),
        (("Content-Length: 5", "Content-Encoding: nope"), errors.BadRequest),
        (("Content-Length: 5", "Content-Encoding: gzip", "Content-Encoding: gzip"), errors.BadRequest),
    ],
)
async def test_what_the_head_shows_is_refused_before_anything_is_read(
    headers: tuple[str, ...], error: type[errors.ApiError]
) -> None:
    with pytest.raises(error):
        await upload_of(post(*headers), check)


async def test_a_chunked_body_is_capped_while_it_is_counted() -> None:
    limits = UploadLimits(max_bytes=10, stall_seconds=30, min_bytes_per_second=500)
    with pytest.raises(errors.PayloadTooLarge, match="at most 10"):
        await upload_of(post("Transfer-Encoding: chunked", body=b"b\r\n0123456789a\r\n0\r\n\r\n"), read_all, limits)


async def test_a_body_that_stands_still_is_a_slow_upload() -> None:
    limits = UploadLimits(max_bytes=100, stall_seconds=0.02, min_bytes_per_second=0)
    with pytest.raises(errors.SlowUpload, match="3 bytes"):
        await upload_of(post("Content-Length: 5", body=b"aud"), read_all, limits)


async def test_a_body_that_trickles_is_a_slow_upload() -> None:
    limits = UploadLimits(max_bytes=10**6, stall_seconds=0.05, min_bytes_per_second=1e9)

    async def use(upload: Upload) -> None:
        await upload.read()
        upload._waited = 0.1  # as if it had trickled for so long
        await upload.read()

    with pytest.raises(errors.SlowUpload):
        await upload_of(post("Content-Length: 5", body=b"aud"), use, limits)


async def test_a_client_that_leaves_breaks_the_body_off() -> None:
    with pytest.raises(UploadBroken, match="broke off after"):
        await upload_of(post("Content-Length: 5", body=b"aud"), read_all, leave=True)


async def test_what_was_peeked_is_at_hand() -> None:
    async def use(upload: Upload) -> None:
        said = [upload.at_hand]
        await upload.peek(2)
        said.append(upload.at_hand)
        await upload.read()
        assert [*said, upload.at_hand] == [False, True, False]

    await upload_of(post("Content-Length: 5", body=b"audio"), use)


async def test_a_long_body_is_not_kept() -> None:
    async def use(upload: Upload) -> None:
        await read_all(upload)
        assert not upload.replayable
        assert upload.kept == []

    body = b"x" * (REPLAY_BYTES + 1)
    await upload_of(post(f"Content-Length: {len(body)}", body=body), use)


async def test_an_interrupt_ends_a_waiting_read() -> None:
    async def use(upload: Upload) -> None:
        assert await upload.read() == b"aud"
        asyncio.get_running_loop().call_later(0.01, upload.interrupt)
        assert await upload.read() == b""
        assert not upload.complete
        assert await upload.read() == b"", "it stays interrupted"

    await upload_of(post("Content-Length: 5", body=b"aud"), use)


async def test_a_refusal_ends_a_waiting_read() -> None:
    async def use(upload: Upload) -> None:
        assert await upload.read() == b"aud"
        asyncio.get_running_loop().call_later(0.01, upload.refuse, errors.PaymentRequired("quota"))
        await upload.read()

    with pytest.raises(errors.PaymentRequired):
        await upload_of(post("Content-Length: 5", body=b"aud"), use)


async def test_the_client_gets_100_continue_only_when_its_body_is_wanted() -> None:
    async def handle(request: web.BaseRequest) -> web.Response:
        upload = Upload(request, LIMITS)
        order.append("refused or admitted")
        await read_all(upload)
        return web.Response(text=str(upload.received))

    order: list[str] = []
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    try:
        writer.write(post("Content-Length: 5", "Expect: 100-continue"))
        async with asyncio.timeout(60):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert order
            writer.write(b"audio")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    finally:
        writer.close()
        await runner.cleanup()


async def test_wake_ups_that_meet_disturb_nobody() -> None:
    """A refusal comes in the moment that the server has responded, or that the wait is over by itself."""

    async def use(upload: Upload) -> None:
        reading = spawn(upload.read(), name="read")
        while upload._timeout is None:
            await asyncio.sleep(0)
        waiting = upload._timeout
        upload.interrupt()
        while not waiting.expired():
            await asyncio.sleep(0)
        assert not reading.done()
        upload.interrupt()
        upload.refuse(errors.InvalidAuth())
        with pytest.raises(errors.InvalidAuth):
            await reading

    await upload_of(post("Content-Length: 10", body=b""), use)


async def test_what_was_looked_at_is_read_counted_and_kept_once() -> None:
    body = b"0123456789" * 10

    async def use(upload: Upload) -> None:
        assert (await upload.peek(20))[:20] == body[:20]
        assert (upload.received, upload.kept, upload.complete) == (0, [], False)
        await read_all(upload)
        assert upload.complete
        assert (upload.received, b"".join(upload.kept)) == (100, body)

    await upload_of(post("Content-Length: 100", body=body), use)


async def test_a_body_that_is_shorter_than_what_is_looked_at_is_seen_whole() -> None:
    async def use(upload: Upload) -> None:
        assert await upload.peek(2048) == b"audio"
        assert not upload.complete
        assert await upload.read() == b"audio"
        assert upload.complete

    await upload_of(post("Content-Length: 5", body=b"audio"), use)


async def test_what_was_looked_at_is_kept_for_another_server_however_much_came_at_once() -> None:
    body = bytes(REPLAY_BYTES * 2)

    async def use(upload: Upload) -> None:
        seen = await upload.peek(REPLAY_BYTES + 1)
        assert await upload.read() == seen
        assert upload.replayable is (len(seen) <= REPLAY_BYTES)
        await read_all(upload)
        assert upload.received == len(body)

    await upload_of(post(f"Content-Length: {len(body)}", body=body), use)


async def test_a_body_that_stands_still_while_it_is_looked_at_is_a_slow_upload() -> None:
    limits = UploadLimits(max_bytes=100, stall_seconds=0.02, min_bytes_per_second=0)

    async def use(upload: Upload) -> None:
        await upload.peek(20)

    with pytest.raises(errors.SlowUpload):
        await upload_of(post("Content-Length: 25", body=b"aud"), use, limits)
