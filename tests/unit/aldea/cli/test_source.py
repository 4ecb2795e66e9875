"""Whatever a shell connects to stdin is read to its end."""

import os
from pathlib import Path

from aldea.cli.source import pieces


async def test_a_file_a_pipe_and_a_device_are_read_to_their_end(tmp_path: Path) -> None:
    path = tmp_path / "audio"
    path.write_bytes(b"abcdef")
    with path.open("rb") as file:
        assert [piece async for piece in pieces(file, 4)] == [b"abcd", b"ef"]
    reading, writing = os.pipe()
    os.write(writing, b"abc")
    os.close(writing)
    assert b"".join([piece async for piece in pieces(os.fdopen(reading, "rb"), 4)]) == b"abc"
    with Path(os.devnull).open("rb") as nothing:
        assert [piece async for piece in pieces(nothing, 4)] == []
