"""When a new key ends, and what its creator may hand on."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.api.access import KeyCaller, SessionCaller
from backend.keys.errors import ExpiryUnusable, ScopeTooWide
from backend.keys.service import _check_scopes, end_of_child, expiry


def test_a_key_ends_never_or_at_a_date_or_after_a_time() -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    assert expiry(None, None) is None
    assert expiry(later, None) == later
    ends = expiry(None, 60)
    assert ends is not None
    assert timedelta(seconds=50) < ends - datetime.now(UTC) <= timedelta(seconds=60)


def test_two_expiries_or_one_in_the_past_are_refused() -> None:
    with pytest.raises(ExpiryUnusable, match="both"):
        expiry(datetime.now(UTC) + timedelta(days=1), 60)
    with pytest.raises(ExpiryUnusable, match="past"):
        expiry(datetime.now(UTC), None)


def test_a_child_ends_with_its_maker_at_the_latest() -> None:
    end = datetime(2027, 1, 2, 3, 4, 5, 678_901, UTC)
    assert end_of_child(None, None) is None
    assert end_of_child(None, end) == end
    assert end_of_child(end, None) == end
    assert end_of_child(end, end) == end
    assert end_of_child(end - timedelta(days=1), end) == end - timedelta(days=1)
    with pytest.raises(ExpiryUnusable, match=r"2027-01-02T03:04:05\.678Z"):
        end_of_child(end + timedelta(microseconds=1), end)


def test_a_creator_hands_on_what_they_may_do_themselves() -> None:
    key = KeyCaller(sha256="0", key_id="k", project_id="p", scopes=frozenset({"keys:write"}), user_id=None)
    admin = SessionCaller(sha256="0", user_id="u", email="e", name="n", operator=False, roles={"p": "admin"})
    _check_scopes(key, "p", ["keys:write"])
    _check_scopes(admin, "p", ["owner", "usage:write"])
    for caller, scopes in ((key, ["usage:write"]), (key, ["member"])):
        with pytest.raises(ScopeTooWide):
            _check_scopes(caller, "p", scopes)
    with pytest.raises(ScopeTooWide):
        _check_scopes(admin, "other", ["usage:read"])
