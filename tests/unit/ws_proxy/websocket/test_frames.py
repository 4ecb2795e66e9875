import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_proxy.websocket.frames import (
    CLOSE,
    MAX_CONTROL_PAYLOAD,
    PING,
    TEXT,
    CloseCode,
    ProtocolViolation,
    close_frame,
    frame,
    mask_bytes,
    parse_close,
)


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_is_the_xor_of_rfc_6455_and_its_own_inverse(payload: bytes, mask: bytes) -> None:
    masked = mask_bytes(payload, mask)
    assert masked == bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    assert mask_bytes(masked, mask) == payload


@pytest.mark.parametrize(("size", "head"), [(0, "8100"), (125, "817d"), (126, "817e007e"), (65535, "817effff")])
def test_lengths_are_encoded_in_the_fewest_bytes(size: int, head: str) -> None:
    assert frame(TEXT, b"x" * size, masked=False).startswith(bytes.fromhex(head))


def test_a_length_over_16_bits_takes_eight() -> None:
    assert frame(TEXT, b"x" * 65536, masked=False)[:10] == bytes.fromhex("817f0000000000010000")


def test_a_masked_frame_says_so_and_unmasks_to_its_payload() -> None:
    data = frame(PING, b"hello", masked=True)
    assert data[:2] == bytes((0x89, 0x85))
    assert mask_bytes(data[6:], data[2:6]) == b"hello"


@given(st.sampled_from([1000, 1001, 1008, 1011, 1012, 3000, 4999]), st.text(max_size=80))
def test_a_close_frame_is_read_back_and_never_too_long(code: int, reason: str) -> None:
    data = close_frame(code, reason, masked=False)
    assert data[0] == 0x80 | CLOSE
    assert len(data) - 2 <= MAX_CONTROL_PAYLOAD
    found, text = parse_close(data[2:])
    assert found == code
    assert reason.startswith(text)
    assert text == reason or len(reason.encode()) > 120


@pytest.mark.parametrize("code", [CloseCode.NO_STATUS, CloseCode.ABNORMAL])
def test_a_code_that_may_not_travel_becomes_a_close_without_one(code: CloseCode) -> None:
    assert close_frame(code, "gone", masked=False) == bytes((0x88, 0))


def test_a_close_without_a_code_is_no_status() -> None:
    assert parse_close(b"") == (CloseCode.NO_STATUS, "")


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x03", 1002),
        *((number.to_bytes(2, "big"), 1002) for number in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)),
        (b"\x03\xe8\xff\xfe", 1007),
    ],
)
def test_a_close_payload_that_breaks_the_rules_is_refused(payload: bytes, code: int) -> None:
    with pytest.raises(ProtocolViolation) as refused:
        parse_close(payload)
    assert refused.value.code == code
