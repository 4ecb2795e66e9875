import gzip
import zlib

import pytest

from aldea.content_coding import PIECE_BYTES, Decompressor, coding, decompressed
from aldea.errors import ApiError, BadRequest, PayloadTooLarge, UnprocessableEntity

TEXT = b"words " * 200
BARE = zlib.compressobj(wbits=-zlib.MAX_WBITS)


@pytest.mark.parametrize(("header", "named"), [("", ""), (" Identity", ""), ("GZIP", "gzip"), ("x-gzip", "x-gzip")])
def test_a_known_coding_is_named_in_any_case(header: str, named: str) -> None:
    assert coding(header) == named


@pytest.mark.parametrize("header", ["br", "zstd", "nope", "gzip, gzip", "\udcff", "x" * 500])
def test_an_unknown_coding_is_refused_and_the_allowed_ones_are_named(header: str) -> None:
    with pytest.raises(BadRequest, match="gzip, deflate") as refused:
        coding(header)
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    ("named", "body"),
    [
        ("", TEXT),
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("x-gzip", gzip.compress(TEXT[:600], mtime=0) + gzip.compress(TEXT[600:], mtime=0) + bytes(5)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", BARE.compress(TEXT) + BARE.flush()),
    ],
)
def test_what_was_compressed_is_decompressed(named: str, body: bytes) -> None:
    assert decompressed(body, named, len(TEXT)) == TEXT


@pytest.mark.parametrize(
    ("named", "body", "refusal"),
    [
        ("gzip", b"not gzip", BadRequest),
        ("gzip", b"\x1f", UnprocessableEntity),
        ("gzip", gzip.compress(TEXT, mtime=0) + b"more", BadRequest),
        ("gzip", gzip.compress(TEXT, mtime=0)[:-1], UnprocessableEntity),
        ("gzip", gzip.compress(TEXT, mtime=0)[:-8] + bytes(8), BadRequest),
        ("gzip", zlib.compress(TEXT), BadRequest),
        ("deflate", b"not deflate", BadRequest),
        ("deflate", zlib.compress(TEXT)[:-3], UnprocessableEntity),
        ("gzip", gzip.compress(bytes(1 << 24), mtime=0), PayloadTooLarge),
        ("deflate", zlib.compress(bytes(1 << 24)), PayloadTooLarge),
        ("gzip", gzip.compress(TEXT, mtime=0) + gzip.compress(TEXT, mtime=0), PayloadTooLarge),
    ],
)
def test_what_does_not_decompress_within_the_bound_is_refused(named: str, body: bytes, refusal: type[ApiError]) -> None:
    with pytest.raises(refusal):
        decompressed(body, named, len(TEXT))


def piece_by_piece(encoding: str, data: bytes, chunk: int = 100) -> bytes:
    decompressor, found = Decompressor(encoding), bytearray()
    for at in range(0, len(data), chunk):
        decompressor.feed(data[at : at + chunk])
        while decompressor.waiting:
            part = decompressor.read()
            assert len(part) <= max(PIECE_BYTES, chunk)
            found += part
    decompressor.end()
    return bytes(found)


AUDIO = bytes(range(256)) * 500


@pytest.mark.parametrize("chunk", [1, 1000, 1 << 20])
@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("", AUDIO),
        ("gzip", gzip.compress(AUDIO)),
        ("GZIP", gzip.compress(AUDIO[:5]) + gzip.compress(AUDIO[5:])),
        ("deflate", zlib.compress(AUDIO)),
        ("deflate", zlib.compress(AUDIO, wbits=-15)),
    ],
)
def test_what_was_compressed_comes_out_whole_wherever_it_is_cut(encoding: str, data: bytes, chunk: int) -> None:
    assert piece_by_piece(encoding, data, chunk) == AUDIO


def test_a_body_that_unfolds_to_any_size_comes_in_bounded_pieces() -> None:
    assert len(piece_by_piece("gzip", gzip.compress(bytes(20 << 20)), 1 << 20)) == 20 << 20


@pytest.mark.parametrize("cut", [1, 5, 10, 100])
def test_a_compressed_body_that_is_cut_broke_off(cut: int) -> None:
    with pytest.raises(UnprocessableEntity, match="has no end"):
        piece_by_piece("gzip", gzip.compress(AUDIO)[:-cut])


@pytest.mark.parametrize("data", [AUDIO, gzip.compress(AUDIO) + b"rest", gzip.compress(AUDIO)[:-8] + bytes(8)])
def test_what_is_not_compressed_as_it_says_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest, match="Content-Encoding"):
        piece_by_piece("gzip", data)


@pytest.mark.parametrize("encoding", ["zstd", "gzip, gzip", "x" * 1000])
def test_an_unknown_coding_of_a_passing_body_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(BadRequest, match="allowed are gzip, deflate or none"):
        Decompressor(encoding)


def test_brotli_is_refused_with_what_to_send_instead() -> None:
    for header in ("br", " BR "):
        with pytest.raises(BadRequest) as refused:
            coding(header)
        assert "Brotli" in refused.value.message
        assert "Send gzip, deflate or none" in refused.value.message
