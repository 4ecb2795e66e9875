from dataclasses import replace

import pytest

from aldea.admission import known_keys
from aldea.admission.known_keys import OFFLINE_SECONDS, KnownKey, KnownKeys

KEY = KnownKey(project_id="p", key_id="k", authority="ab", expires_ms=None)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_key_is_trusted_for_two_minutes_after_redis_vouched_for_it(clock: Clock) -> None:
    known = KnownKeys(clock=clock)
    known.remember("ab", KEY)
    clock.now += OFFLINE_SECONDS
    assert known.recall("ab") == KEY
    clock.now += 0.1
    assert known.recall("ab") is None


def test_an_unknown_or_refused_key_is_not_trusted(clock: Clock) -> None:
    known = KnownKeys(clock=clock)
    assert known.recall("ab") is None
    known.remember("ab", KEY)
    known.forget("ab")
    known.forget("ab")
    assert known.recall("ab") is None


def test_a_key_expires_also_while_redis_is_unavailable(clock: Clock) -> None:
    known = KnownKeys(clock=clock, wall=lambda: 10.0)
    known.remember("ab", replace(KEY, expires_ms=10_000))
    known.remember("cd", replace(KEY, expires_ms=10_001))
    assert known.recall("ab") is None
    assert known.recall("cd") is not None


def test_memory_is_bounded_and_the_least_recently_used_goes_first(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(known_keys, "MAX_KNOWN", 2)
    known = KnownKeys(clock=clock)
    for name in ("a", "b", "a", "c"):
        known.remember(name, KEY)
    assert len(known) == 2
    assert known.recall("b") is None
    assert known.recall("a") is not None


def test_the_projects_rate_holds_in_this_process_until_redis_counts_again(clock: Clock) -> None:
    known = KnownKeys(clock=clock)
    key = replace(KEY, rates=(("p", 10),))
    assert [known.retry_after(key) for _ in range(10)] == [0.0] * 10
    assert known.retry_after(key) == pytest.approx(6.0)
    assert known.retry_after(KEY) == 0.0
    known.remember("ab", key)
    assert known.retry_after(key) == 0.0


@pytest.mark.parametrize("subject", ["token", "ab", "p"])
def test_what_depends_on_a_refused_credential_or_project_is_trusted_only_once_redis_admits_it_again(
    clock: Clock, subject: str
) -> None:
    known = KnownKeys(clock=clock)
    known.remember("token", KEY)
    known.remember("other", replace(KEY, authority="cd", project_id="q"))
    known.distrust(subject)
    assert known.recall("token") is None
    assert known.recall("other") is not None
    known.remember("token", KEY)
    assert known.recall("token") == KEY
    known.distrust(subject)
    assert known.recall("token") is None


def test_what_is_distrusted_is_bounded_and_what_is_forgotten_of_it_makes_nobody_good(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(known_keys, "MAX_KNOWN", 3)
    known = KnownKeys(clock=clock)
    known.remember("ab", KEY)
    known.distrust("p")
    for number in range(4):
        known.distrust(f"q{number}")
    assert len(known._distrusted) == 3
    assert known.recall("ab") is None
    known.remember("ab", KEY)
    assert known.recall("ab") == KEY


def test_with_a_credential_its_tokens_are_forgotten_but_strangers_leave_no_mark(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(known_keys, "MAX_KNOWN", 3)
    known = KnownKeys(clock=clock)
    for number in range(4):
        known.remember(f"token{number}", replace(KEY, authority=f"key{number}"))
    known.remember("other", replace(KEY, authority="other"))
    for number in range(9):
        known.forget(f"a stranger's {number}")
    assert known.recall("token3") is not None
    known.forget("key3")
    assert known.recall("token3") is None
    assert known.recall("other") is not None
    assert (len(known._parents), len(known._distrusted)) == (3, 1)
    known.remember("token3", replace(KEY, authority="key3"))
    assert known.recall("token3") is not None


@pytest.mark.parametrize("rate", [1, 10, 60, 6000])
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_whom_redis_refused_for_its_rate_has_no_burst_left_here(clock: Clock, rate: int, share: float) -> None:
    known = KnownKeys(clock=clock)
    key = replace(KEY, rates=(("p", rate),))
    known.remember("ab", key)
    wait = 60 / rate * share
    known.hold("ab", round(wait * 1_000_000), "p")
    known.remember("of another project", replace(key, project_id="q", rates=(("q", rate),)))
    assert known.retry_after(key) == pytest.approx(wait, abs=1e-5)
    clock.now += wait + 1e-5
    assert known.retry_after(key) == 0.0
    assert known.retry_after(key) > 0
    known.remember("ab", key)
    assert known.retry_after(key) == 0.0


def test_rates_that_are_kept_here_are_bounded_and_a_stranger_has_none(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(known_keys, "MAX_KNOWN", 3)
    known = KnownKeys(clock=clock)
    known.hold("a stranger", 1_000_000, "p")
    for number in range(9):
        assert known.retry_after(replace(KEY, project_id=f"p{number}", rates=((f"p{number}", 1),))) == 0.0
    assert len(known._arrivals) == 3
