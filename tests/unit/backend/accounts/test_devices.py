"""Proofs of a known device: of one account, until its password changes, and nobody can make one."""

import pytest

from backend.accounts.devices import KNOWN_DAYS, MAX_CHARACTERS, issue, known

NOW = 1_800_000_000.0


def test_a_proof_is_good_for_its_account_until_it_ends_or_the_password_changes() -> None:
    device = issue("ann", "hash", NOW)
    assert len(device.text) <= MAX_CHARACTERS
    counted = known(device.text, "ann", "hash", NOW + KNOWN_DAYS * 86_400 - 1)
    assert counted is not None
    assert counted in device.text
    assert known(device.text, "ann", "hash", device.expires.timestamp()) is None
    assert known(device.text, "bob", "hash", NOW) is None
    assert known(device.text, "ann", "another hash", NOW) is None


def test_each_device_is_counted_by_itself() -> None:
    first, second = issue("ann", "hash", NOW), issue("ann", "hash", NOW)
    assert known(first.text, "ann", "hash", NOW) != known(second.text, "ann", "hash", NOW)


@pytest.mark.parametrize("place", range(4, 74, 3))
def test_a_proof_that_was_changed_is_none(place: int) -> None:
    text = issue("ann", "hash", NOW).text
    changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
    for wrong in (changed, text + "x", text[:-1], "", "dev_..", "é"):
        assert known(wrong, "ann", "hash", NOW) is None


def test_a_later_end_cannot_be_written_in() -> None:
    nonce, end, mac = issue("ann", "hash", NOW).text.split(".")
    assert known(f"{nonce}.{int(end) + 1}.{mac}", "ann", "hash", NOW) is None
