import asyncio
import gzip
import hashlib
import zlib
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import pytest
import structlog

from stt_api.app import POOL
from stt_api.recognition.events import Ended, Event, Transcript
from stt_api.recognition.process import Stream
from stt_api.recorded import AHEAD_BYTES, _understood
from tests.recordings import encoded
from tests.unit.stt_api.decoded import flac_header, flac_silence

if TYPE_CHECKING:
    from aiohttp.test_utils import TestClient

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_recording_is_returned_with_words_duration_and_hash(engine: "TestClient[Any, Any]") -> None:
    body = encoded("wav", 5.3)
    async with engine.post("/v1/listen", data=body) as response:
        assert response.status == 200
        found = await response.json()
    metadata = found["metadata"]
    assert (metadata["duration"], metadata["channels"]) == (5.3, 1)
    assert metadata["sha256"] == hashlib.sha256(body).hexdigest()
    assert metadata["request_id"] == response.headers["dg-request-id"]
    (alternative,) = found["results"]["channels"][0]["alternatives"]
    assert alternative["transcript"].endswith("under the old bridge")
    assert [word["word"] for word in alternative["words"]] == alternative["transcript"].split()


@pytest.mark.parametrize("multipart", [False, True])
async def test_plain_transcription_takes_a_body_or_a_form(engine: "TestClient[Any, Any]", *, multipart: bool) -> None:
    data: Any = encoded("flac", 5.3)
    if multipart:
        form = aiohttp.FormData()
        form.add_field("model", "any")
        form.add_field("file", data, filename="speech.flac")
        data = form
    async with engine.post("/transcribe", data=data) as response:
        assert response.status == 200
        found = await response.json()
    assert set(found) == {"text", "duration", "request_id"}
    assert found["duration"] == 5.3
    assert found["text"].startswith("the morning was quiet")


@pytest.mark.parametrize("body", [b"", b"certainly not audio at all"])
async def test_a_body_without_audio_is_a_bad_request(engine: "TestClient[Any, Any]", body: bytes) -> None:
    async with engine.post("/v1/listen", data=body) as response:
        assert response.status == 400
        assert (await response.json())["err_code"] == "Bad Request"


async def test_a_form_without_a_file_is_a_bad_request(engine: "TestClient[Any, Any]") -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("model", "any")
    async with engine.post("/transcribe", data=form) as response:
        assert response.status == 400


WAV = encoded("wav", 1.0)
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + WAV + b"\r\n--b--\r\n"
FORM_TYPE = {"Content-Type": "multipart/form-data; boundary=b"}
GZIP = {"Content-Encoding": "gzip"}


async def no_place_is_taken(engine: "TestClient[Any, Any]") -> None:
    pool = engine.server.app[POOL]  # type: ignore[attr-defined]
    async with asyncio.timeout(60):
        while pool.used or pool.workers[0].streams:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/v1/listen", GZIP, b"not gzip", 400),
        ("/v1/listen", {"Content-Encoding": "deflate"}, b"not zlib", 400),
        ("/v1/listen", {"Content-Encoding": "br"}, WAV, 400),
        ("/v1/listen", GZIP, gzip.compress(WAV)[:-20], 422),
        ("/v1/listen", GZIP, gzip.compress(WAV)[:5000], 422),
        ("/v1/listen", GZIP, gzip.compress(WAV)[:12], 422),
        ("/v1/listen", {"Content-Encoding": "deflate"}, zlib.compress(WAV)[:-5], 422),
        ("/transcribe", {**GZIP, **FORM_TYPE}, b"not gzip", 400),
        ("/transcribe", {**GZIP, **FORM_TYPE}, gzip.compress(FORM)[:-20], 422),
        ("/transcribe", FORM_TYPE, FORM[:5000], 422),
        ("/transcribe", FORM_TYPE, b"no form at all", 400),
        ("/transcribe", FORM_TYPE, b"--b\r\nno colon in this head\r\n\r\nx\r\n--b--\r\n", 400),
        ("/transcribe", FORM_TYPE, b"--b\r\nX: " + b"y" * 100_000 + b"\r\n\r\nx\r\n--b--\r\n", 400),
        ("/transcribe", FORM_TYPE, b"--b\r\n" + b"X: y\r\n" * 1000 + b"\r\nx\r\n--b--\r\n", 400),
        ("/transcribe", {"Content-Type": "multipart/form-data"}, FORM, 400),
        ("/v1/listen", {**GZIP, "Content-Type": "application/json"}, b'{"url": "https://example.com/"}', 400),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_at_once_and_gives_its_place_back(
    engine: "TestClient[Any, Any]", path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    # More often than there are places: none of them may be lost.
    for _ in range(3):
        async with asyncio.timeout(60), engine.post(path, data=body, headers=headers) as response:
            assert response.status == status
            assert set(await response.json()) == {"err_code", "err_msg", "request_id"}
    await no_place_is_taken(engine)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(WAV)),
        ("x-gzip", gzip.compress(WAV[:9000]) + gzip.compress(WAV[9000:]) + bytes(10)),
        ("deflate", zlib.compress(WAV)),
        ("deflate", zlib.compress(WAV, wbits=-15)),
        ("identity", WAV),
    ],
)
async def test_a_body_may_come_packed(engine: "TestClient[Any, Any]", encoding: str, body: bytes) -> None:
    async with engine.post("/v1/listen", data=body, headers={"Content-Encoding": encoding}) as response:
        assert response.status == 200
        metadata = (await response.json())["metadata"]
    assert metadata["duration"] == 1.0
    assert metadata["sha256"] == hashlib.sha256(WAV).hexdigest()


async def test_a_packed_form_is_read(engine: "TestClient[Any, Any]") -> None:
    async with engine.post("/transcribe", data=gzip.compress(FORM), headers={**GZIP, **FORM_TYPE}) as response:
        assert (response.status, (await response.json())["duration"]) == (200, 1.0)


async def test_a_client_that_leaves_in_its_upload_gives_its_place_back(engine: "TestClient[Any, Any]") -> None:
    _, writer = await asyncio.open_connection(engine.host, engine.port)
    writer.write(b"POST /v1/listen HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + WAV[:5000])
    await writer.drain()
    await a_place_is_taken(engine)
    writer.close()
    await no_place_is_taken(engine)


@pytest.mark.parametrize("whole", [False, True])
async def test_a_client_that_leaves_while_its_audio_is_heard_gives_its_place_back(
    engine: "TestClient[Any, Any]", *, whole: bool
) -> None:
    # Nine minutes of speech: more than a recognition process is sent at once, and than waits in memory.
    body = encoded("wav", 18.0) * 30
    assert len(body) > 3 * AHEAD_BYTES
    length = len(body) if whole else 2 * len(body)
    _, writer = await asyncio.open_connection(engine.host, engine.port)
    writer.write(b"POST /v1/listen HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length + body)
    await a_place_is_taken(engine)
    writer.close()
    # Long before all of it could have been heard.
    async with asyncio.timeout(60):
        await no_place_is_taken(engine)


async def a_place_is_taken(engine: "TestClient[Any, Any]") -> None:
    pool = engine.server.app[POOL]  # type: ignore[attr-defined]
    async with asyncio.timeout(60):
        while not pool.used:
            await asyncio.sleep(0.01)


async def test_what_the_engine_cannot_do_is_named_in_the_metadata(engine: "TestClient[Any, Any]") -> None:
    query = "model=nova-3&language=es&diarize=true&keyterm=river"
    async with engine.post(f"/v1/listen?{query}", data=WAV) as response:
        assert response.status == 200
        found = (await response.json())["metadata"]["warnings"]
    assert [warning["parameter"] for warning in found] == ["model", "language", "diarize", "keyterm"]
    async with engine.post(f"/transcribe?{query}", data=WAV) as response:
        assert len((await response.json())["warnings"]) == 4


@pytest.mark.parametrize("path", ["/v1/listen", "/transcribe"])
async def test_redaction_is_refused(engine: "TestClient[Any, Any]", path: str) -> None:
    async with engine.post(f"{path}?redact=pci&redact=ssn", data=WAV) as response:
        assert response.status == 400
        assert "unredacted" in (await response.json())["err_msg"]


@pytest.mark.parametrize(
    "body", [flac_header(1) + flac_silence(0), flac_header(8_000) + b"".join(map(flac_silence, range(100)))]
)
async def test_audio_that_unfolds_without_measure_is_a_bad_request(engine: "TestClient[Any, Any]", body: bytes) -> None:
    async with engine.post("/v1/listen", data=body) as response:
        assert response.status == 400
        text = (await response.json())["err_msg"]
    assert "Errno" not in text
    assert "Invalid data" not in text


@pytest.mark.asyncio(loop_scope="function")
async def test_the_progress_of_a_long_recording_is_in_the_log() -> None:
    class Heard:
        """A stream that understands an hour, a minute at a time."""

        def __init__(self) -> None:
            minutes = [
                Transcript(channel=0, channels=1, start=at, end=at + 60.0, final=True) for at in range(0, 3600, 60)
            ]
            self.events: list[Event] = [*minutes, Ended(duration=3600.0, channels=1)]

        async def next_event(self) -> Event:
            return self.events.pop(0)

    with structlog.testing.capture_logs() as logs:
        transcripts, ended = await _understood(cast("Stream", Heard()))
    assert (len(transcripts), ended.duration) == (60, 3600.0)
    assert [line["audio_seconds"] for line in logs] == list(range(300, 3601, 300))
