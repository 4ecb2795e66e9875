import pytest

from stt_api.audio.formats import MAX_BOXES_BYTES, index_comes_first, sniff
from tests.recordings import FORMATS, OTHER_FORMATS, encoded


# MP3s begin with a tag, which is left out before.
@pytest.mark.parametrize("name", [name for name in (*FORMATS, *OTHER_FORMATS) if not name.startswith("mp3")])
def test_every_format_is_recognised_by_its_first_bytes(name: str) -> None:
    assert sniff(encoded(name, 0.5)[:12]) is not None


@pytest.mark.parametrize(
    "head", [b"#EXTM3U\n#EXTINF:1", b"ffconcat version", b"GIF89a\x01\x00\x01\x00\x00\x00", b"the free lunch"]
)
def test_what_names_other_files_or_is_none_is_not_recognised(head: bytes) -> None:
    assert sniff(head) is None


def box(name: bytes, size: int) -> bytes:
    return (size + 8).to_bytes(4, "big") + name + bytes(size)


@pytest.mark.parametrize(
    ("head", "first"),
    [
        (box(b"ftyp", 16) + box(b"moov", 4), True),
        (box(b"ftyp", 16) + box(b"free", 100) + box(b"mdat", 4), False),
        (box(b"ftyp", 16), None),
        (box(b"ftyp", 16)[:4], None),
        (box(b"ftyp", 16) + box(b"free", MAX_BOXES_BYTES)[:8], False),
        (box(b"ftyp", 16) + b"\x00\x00\x00\x00abcd", False),
    ],
)
def test_where_an_mp4_has_its_index(head: bytes, first: bool | None) -> None:
    assert index_comes_first(head) is first
