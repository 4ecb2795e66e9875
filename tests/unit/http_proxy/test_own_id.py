"""The id in a relayed body, however the body is cut."""

import pytest

from http_proxy.own_id import OwnId

OWN = "018f0000-0000-7000-8000-000000000001"
THEIRS = "5b6c5b0e-0000-4000-8000-00000000abcd"
BODY = (
    f'{{"metadata": {{"request_id": "{THEIRS}", "duration": 1.5}}, "results": {{"request_id": "{THEIRS}"}}}}'.encode()
)
EXPECTED = BODY.replace(THEIRS.encode(), OWN.encode(), 1)


def passed(*pieces: bytes, own: str = OWN) -> bytes:
    found = OwnId(own)
    return b"".join(found.feed(piece, last=place == len(pieces) - 1) for place, piece in enumerate(pieces))


@pytest.mark.parametrize("cut", range(len(BODY) + 1))
def test_the_first_id_is_the_requests_own_wherever_the_body_is_cut(cut: int) -> None:
    assert passed(BODY[:cut], BODY[cut:]) == EXPECTED
    assert passed(*(bytes([byte]) for byte in BODY[:cut]), BODY[cut:], b"") == EXPECTED


@pytest.mark.parametrize(
    "body",
    [
        EXPECTED,
        b"",
        b'{"request_id": 5, "x": "request_id", "y": "request_i',
        b'{"transcript": "\\"request_id\\": \\"5b6c5b0e-0000-4000-8000-00000000abcd\\""}',
        b'{"request_id": "short"}',
        b'"request_id"' + b" " * 200,
        b'"' * 100,
    ],
)
def test_everything_else_stays_as_it_is(body: bytes) -> None:
    assert passed(body) == body
    assert passed(*(bytes([byte]) for byte in body), b"") == body


def test_what_waits_is_bounded_and_a_large_body_passes_at_once() -> None:
    found = OwnId(OWN)
    large = b'{"results": [' + b'"word", ' * 100_000
    assert len(large) - len(found.feed(large, last=False)) < 100
