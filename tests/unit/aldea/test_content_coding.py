import gzip
import zlib

import pytest

from aldea.content_coding import coding, unpacked
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
def test_what_was_packed_is_unpacked(named: str, body: bytes) -> None:
    assert unpacked(body, named, len(TEXT)) == TEXT


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
def test_what_cannot_be_unpacked_within_the_bound_is_refused(named: str, body: bytes, refusal: type[ApiError]) -> None:
    with pytest.raises(refusal):
        unpacked(body, named, len(TEXT))
