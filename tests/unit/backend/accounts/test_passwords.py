"""Hashing passwords: right and wrong ones, a bound on how many at a time."""

import pytest

from aldea.errors import ServiceUnavailable
from backend.accounts import passwords
from backend.accounts.passwords import NOBODY, Passwords, outdated


async def test_a_password_fits_its_own_hash_only() -> None:
    subject = Passwords()
    stored = await subject.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert "correct horse" not in stored
    assert await subject.verify(stored, "correct horse")
    assert not await subject.verify(stored, "wrong horse")
    assert not await subject.verify("no hash at all", "correct horse")
    assert not outdated(stored)


async def test_a_password_fits_however_a_device_spells_its_accents() -> None:
    subject = Passwords()
    composed, taken_apart = "\u00e9lan ch\u00e2teau \u00e5ngstr\u00f6m", "e\u0301lan cha\u0302teau a\u030angstro\u0308m"
    for spelled in (composed, taken_apart):
        stored = await subject.hash(spelled)
        assert await subject.verify(stored, composed)
        assert await subject.verify(stored, taken_apart)
        assert not await subject.verify(stored, "elan chateau angstrom")
    # As passwords were hashed before: as they were sent.
    stored = passwords._HASHER.hash(taken_apart)
    assert await subject.verify(stored, taken_apart)
    assert not await subject.verify(stored, composed)


async def test_an_absent_account_is_verified_against_a_hash_of_the_same_kind() -> None:
    assert not await Passwords().verify(None, "nobody has this password")
    assert not await Passwords().verify("", "nobody has this password")
    assert not outdated(NOBODY)
    assert outdated("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aaaa")


async def test_a_request_that_waits_too_long_for_its_hash_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passwords, "WAIT_SECONDS", 0)
    subject = Passwords()
    for _ in range(passwords._AT_ONCE):
        await subject._turn.acquire()
    with pytest.raises(ServiceUnavailable):
        await subject.hash("x")


async def test_when_too_many_wait_the_next_one_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 0)
    with pytest.raises(ServiceUnavailable) as refused:
        await Passwords().verify(None, "x")
    assert refused.value.headers()["Retry-After"]
