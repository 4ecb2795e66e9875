"""A sealed response: what opens it, and what does not."""

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.idempotency.sealing import Sealer, Unopenable, sealer

REQUEST: dict[str, Any] = {"credential": "org_x", "key": "k", "method": "POST", "path": "/v1/x", "body": b"{}"}


@given(st.binary(max_size=300))
def test_what_is_sealed_opens_under_the_same_request(text: bytes) -> None:
    sealed = sealer(**REQUEST).seal(text)
    assert sealer(**REQUEST).open(sealed) == text
    assert len(text) < 8 or text not in sealed


def test_the_same_text_is_sealed_to_another_each_time() -> None:
    made = sealer(**REQUEST)
    assert made.seal(b"text") != made.seal(b"text")


def test_whatever_else_is_sent_opens_nothing() -> None:
    made = sealer(**REQUEST)
    sealed = made.seal(b"text")
    others: list[dict[str, Any]] = [
        {"credential": "org_y"}, {"credential": None}, {"key": "l"}, {"method": "PUT"}, {"path": "/v1/y"},
        {"body": b"{ }"}, {"key": "k/v1/x", "path": ""},
    ]  # fmt: skip
    found = [made, *(sealer(**REQUEST | other) for other in others)]
    for one in found[1:]:
        with pytest.raises(Unopenable):
            one.open(sealed)
    assert all(one.fingerprint != other.fingerprint for one, other in combinations(found, 2))


def test_a_key_is_found_again_whatever_it_was_sent_with_by_the_same_credential() -> None:
    made = sealer(**REQUEST)
    assert made.name == sealer(**REQUEST | {"path": "/v1/y", "body": b"x"}).name
    assert made.name != sealer(**REQUEST | {"credential": "org_y"}).name


def test_what_was_changed_or_cut_does_not_open() -> None:
    made = sealer(**REQUEST)
    sealed = made.seal(b"text")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(Unopenable):
            made.open(bytes(changed))
        with pytest.raises(Unopenable):
            made.open(sealed[:place])


def test_it_prints_no_secret() -> None:
    made = Sealer(b"\x01" * 32, b"f" * 32, b"secret" * 5)
    assert "secret" not in repr(made)
