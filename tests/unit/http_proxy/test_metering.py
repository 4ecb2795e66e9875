"""A request's bill: what is taken over from the server, and that it is settled exactly once."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from aldea.admission import Grant
from aldea.tasks import spawn
from aldea.usage.reading import Rank, UsageReading
from http_proxy.duration import DurationScanner
from http_proxy.metering import Metering

GRANT = Grant(
    request_id="0190a5e2-0000-7000-8000-000000000001",
    started_ms=1,
    project_id="0190a5e2-0000-7000-8000-00000000000a",
    key_id="0190a5e2-0000-7000-8000-00000000000b",
    credential_sha256="ab",
    service="prerecorded",
    lane="local",
    path="/v1/listen",
)


class RecordingAdmission:
    def __init__(self) -> None:
        self.finals: list[UsageReading] = []
        self.hold: asyncio.Event | None = None

    async def finish(self, _grant: Grant, final: UsageReading) -> None:
        if self.hold is not None:
            await self.hold.wait()
        self.finals.append(final)


def metering(*, admitted: bool = True) -> tuple[Metering, RecordingAdmission]:
    admission: Any = RecordingAdmission()
    upload: Any = SimpleNamespace(received=5)
    made = Metering(make_mocked_request("POST", "/v1/listen"), upload, admission, lane="local")
    made.grant = GRANT if admitted else None
    return made, admission


def scanned(body: bytes) -> DurationScanner:
    scanner = DurationScanner()
    scanner.feed(body)
    return scanner


@pytest.mark.parametrize(
    ("body", "audio_ms", "channels", "source"),
    [
        (b'{"metadata":{"duration":2.5,"channels":2}}', 5000, 2, "stt"),
        (b'{"duration":0.0004}', 0, 1, "pcm"),
        (b'{"duration":12.3456}', 12346, 1, "stt"),
        (b"{}", 0, 1, "pcm"),
    ],
)
async def test_audio_is_what_the_server_reported_for_each_channel(
    body: bytes, audio_ms: int, channels: int, source: str
) -> None:
    made, _ = metering()
    made.meter(None)
    made.meter(scanned(body))
    reading = made.reading(Rank.FINAL)
    assert (reading.audio_ms, reading.channels, reading.audio_source) == (audio_ms, channels, source)


async def test_what_the_client_did_not_get_is_waived() -> None:
    made, _ = metering()
    made.meter(scanned(b'{"duration":1}'))
    made.waive()
    assert made.reading(Rank.FINAL).audio_ms == 0


async def test_it_is_settled_once_and_each_reading_is_greater() -> None:
    made, admission = metering()
    first = made.reading(Rank.OPEN)
    made.status, made.bytes_out = 200, 7
    await made.settle()
    await made.settle()
    await made.close()
    [final] = admission.finals
    assert final.order > first.order
    assert (final.rank, final.status, final.bytes_in, final.bytes_out) == (Rank.FINAL, 200, 5, 7)


async def test_without_admission_there_is_nothing_to_settle() -> None:
    made, admission = metering(admitted=False)
    await made.settle()
    await made.close()
    assert admission.finals == []
    with pytest.raises(RuntimeError):
        made.reading(Rank.OPEN)


async def test_a_cancelled_request_is_settled_all_the_same() -> None:
    made, admission = metering()
    admission.hold = asyncio.Event()
    closing = spawn(made.close(), name="closing")
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    admission.hold.set()
    async with asyncio.timeout(60):
        while not admission.finals:
            await asyncio.sleep(0)
