import pytest

from ws_proxy.realtime.frame_reader import MAX_MESSAGE_BYTES, FrameReader, TooLarge
from ws_proxy.websocket.frames import CLOSE, CONTINUATION, PING, TEXT, close_frame, frame, frame_head

STREAM = b"".join(
    (
        frame(TEXT, b"one", masked=False),
        frame_head(TEXT, 2) + b"tw",
        frame(PING, b"p", masked=False),
        frame(CONTINUATION, b"o" * 300, masked=False),
        frame(TEXT, b"x" * 70_000, masked=False),
        close_frame(1000, "done", masked=False),
    )
)
FOUND = [
    (TEXT, b"one"),
    (PING, b"p"),
    (TEXT, b"tw" + b"o" * 300),
    (TEXT, b"x" * 70_000),
    (CLOSE, b"\x03\xe8done"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000, len(STREAM)])
def test_messages_are_the_same_however_the_bytes_are_cut(size: int) -> None:
    reader = FrameReader()
    found = [each for at in range(0, len(STREAM), size) for each in reader.feed(STREAM[at : at + size])]
    assert found == FOUND


def test_a_message_beyond_the_bound_is_refused_by_its_header() -> None:
    with pytest.raises(TooLarge):
        FrameReader().feed(frame_head(0x80 | TEXT, MAX_MESSAGE_BYTES + 1))
    reader = FrameReader()
    reader.feed(frame_head(TEXT, MAX_MESSAGE_BYTES) + bytes(MAX_MESSAGE_BYTES))
    with pytest.raises(TooLarge):
        reader.feed(frame_head(0x80 | CONTINUATION, 1))
