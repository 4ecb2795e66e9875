import io
import json
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from aiohttp import WSMsgType

from aldea.canary.accuracy import word_error_rate
from onebox.home import ROOT
from stt_api.audio.faults import UndecodableAudio
from stt_api.audio.opus_packets import MAX_PACKET_BYTES, OpusPackets, packet_samples
from tests.recordings import encoded

if TYPE_CHECKING:
    from aiohttp.test_utils import TestClient

SENTENCE = (ROOT / "onebox" / "samples" / "speech.txt").read_text().splitlines()[0]


def packets(seconds: float) -> list[bytes]:
    """The packets of the sample's beginning, as a device sends them without a container."""
    with av.open(io.BytesIO(encoded("ogg-opus", seconds)), "r") as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        (bytes([0 << 3]), 480),
        (bytes([3 << 3]), 2880),
        (bytes([11 << 3 | 1]), 5760),
        (bytes([13 << 3]), 960),
        (bytes([16 << 3]), 120),
        (bytes([31 << 3 | 2]), 1920),
        (bytes([31 << 3 | 3, 6]), 5760),
        (bytes([31 << 3 | 3, 0x80 | 3]), 2880),
        (bytes([31 << 3 | 3, 7]), None),
        (bytes([31 << 3 | 3, 0]), None),
        (bytes([31 << 3 | 3]), None),
        (bytes([3 << 3 | 3, 3]), None),
        (b"", None),
        (bytes(MAX_PACKET_BYTES + 1), None),
    ],
)
def test_the_length_of_a_packet_is_in_its_first_bytes(packet: bytes, samples: int | None) -> None:
    assert packet_samples(packet) == samples


@pytest.mark.parametrize("channels", [1, 2])
def test_packets_become_an_ogg_file_that_libav_reads(channels: int) -> None:
    sent = packets(2.0)
    wrapper = OpusPackets(channels)
    made = b"".join(wrapper.wrap(packet) for packet in sent)
    # Its checksums are the format's own: a page with a wrong one would be left out.
    with av.open(io.BytesIO(made), "r", options={"err_detect": "crccheck+explode"}) as container:
        assert container.streams.audio[0].codec_context.channels == channels
        frames = list(container.decode(audio=0))
    samples = sum(frame.samples for frame in frames)
    assert samples == sum(packet_samples(packet) or 0 for packet in sent)
    assert np.abs(frames[20].to_ndarray()).max() > 0


@pytest.mark.parametrize("name", ["ogg-opus", "webm"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_opus_in_a_container_stays_as_it_is(name: str, size: int) -> None:
    data = encoded(name, 0.5)
    wrapper = OpusPackets()
    assert b"".join(wrapper.wrap(data[at : at + size]) for at in range(0, len(data), size)) == data


def test_a_message_that_is_no_packet_is_named() -> None:
    with pytest.raises(UndecodableAudio, match="one Opus packet a message"):
        OpusPackets().wrap(bytes(MAX_PACKET_BYTES + 1))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "path", ["/v1/listen?encoding=opus&sample_rate=48000", "/v2/listen?model=flux-x&encoding=opus"]
)
async def test_a_stream_of_packets_becomes_words(engine: "TestClient[Any, Any]", path: str) -> None:
    said = []
    async with engine.ws_connect(path) as socket:
        for packet in packets(5.3):
            await socket.send_bytes(packet)
        await socket.send_str('{"type":"CloseStream"}')
        async for received in socket:
            assert received.type is WSMsgType.TEXT
            message = json.loads(received.data)
            if message.get("is_final"):
                said.append(message["channel"]["alternatives"][0]["transcript"])
            elif message.get("event") == "EndOfTurn":
                said.append(message["transcript"])
        assert socket.close_code == 1000
    assert word_error_rate(SENTENCE, " ".join(said)) <= 0.15


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_no_packet_ends_the_stream_with_1008_behind_the_words_before(
    engine: "TestClient[Any, Any]",
) -> None:
    async with engine.ws_connect("/v1/listen?encoding=opus") as socket:
        for packet in packets(1.0):
            await socket.send_bytes(packet)
        await socket.send_bytes(b"\xff" + bytes(9))
        messages = [json.loads(received.data) async for received in socket]
        assert socket.close_code == 1008
    assert messages[-1]["type"] == "Metadata"
    assert messages[-1]["duration"] == pytest.approx(1.0, abs=0.1)
