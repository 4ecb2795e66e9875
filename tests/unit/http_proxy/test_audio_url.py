"""Bodies that name a URL: only what every parser reads alike."""

from typing import Any

import pytest

from aldea import errors
from http_proxy import audio_url
from http_proxy.audio_url import MAX_JSON


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"Content-Type", b"application/json")], True),
        ([(b"content-type", b"application/JSON; charset=utf-8")], True),
        ([(b"Content-Type", b"audio/wav"), (b"CONTENT-TYPE", b"text/json")], True),
        ([(b"Content-Type", b"audio/wav"), (b"X-Content-Type", b"application/json")], False),
        ([], False),
    ],
)
def test_json_is_what_any_server_might_take_for_it(headers: list[tuple[bytes, bytes]], expected: bool) -> None:
    assert audio_url.declared(headers) is expected


def test_the_url_is_found_beside_other_members() -> None:
    assert audio_url.named(b' {"a": {"url": 1}, "url": "https://a/b", "c": [{}]} ') == "https://a/b"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b'"url"', b"null", b'[["url","https://a/"]]', b"[" * 100_000,
        b'{"uri":"https://a/"}', b'{"url":null}', b'{"url":{"url":"https://a/"}}', b'{"url":["https://a/"]}',
        b'{"url":"https://a/","url":"http://10.0.0.1/"}', b'{"url":"https://a/","URL":"http://10.0.0.1/"}',
        b'{"Url":"https://a/"}', b'{"url":"https://a/","\\u0075rl":"http://10.0.0.1/"}',
        '{"url":"https://a/"}'.encode("utf-16"), b'\xef\xbb\xbf{"url":"https://a/"}', b'{"url":"https://a/\xff"}',
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(errors.BadRequest):
        audio_url.named(body)


class Body:
    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.kept: list[bytes] = []
        self.complete = False

    @property
    def received(self) -> int:
        return sum(map(len, self.kept))

    async def read(self) -> bytes:
        self.kept.append(self._pieces.pop(0))
        self.complete = not self._pieces
        return self.kept[-1]


async def test_the_body_is_read_whole_and_only_up_to_its_bound() -> None:
    body: Any = Body(b'{"url":', b'"https://a/"}')
    assert await audio_url.read(body) == "https://a/"
    body = Body(b" " * MAX_JSON, b" ", b" ")
    with pytest.raises(errors.PayloadTooLarge):
        await audio_url.read(body)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip"])
def test_compressed_json_is_refused_since_it_could_unpack_to_another_url(coding: str) -> None:
    with pytest.raises(errors.BadRequest, match="Content-Encoding"):
        audio_url.check_plain({"Content-Encoding": coding})
    audio_url.check_plain({"Content-Encoding": "Identity"})
    audio_url.check_plain({})
