from dataclasses import replace

import pytest

from aldea.load.plan import MAX_OPENINGS_PER_SECOND, MAX_STAGES, MAX_STREAMS, Plan, UnusablePlan, is_loopback
from aldea.load.verdict import Search

PLAN = Plan("http://127.0.0.1:8080", 10, 5.0, 30.0)


def test_a_plan_for_this_machine_is_usable_and_any_other_needs_its_owners_word() -> None:
    assert PLAN.checked() is PLAN
    elsewhere = replace(PLAN, url="https://api.aldea.ai")
    with pytest.raises(UnusablePlan, match=r"api\.aldea\.ai is not this machine.*--i-own-this"):
        elsewhere.checked()
    assert replace(elsewhere, own=True).checked().own


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_is_known_by_its_spelling(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["api.aldea.ai", "localhost.example", "127.0.0.1.example", "10.0.0.1", "0.0.0.0", "::", "2130706433", ""]
)
def test_everything_else_is_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"streams": 0}, "--streams: got 0; allowed: 1 to 2000"),
        ({"streams": MAX_STREAMS + 1}, "--streams: got 2001"),
        ({"uploads": -1}, "--uploads"),
        ({"uploads": 201}, "--uploads"),
        ({"ramp": float("nan")}, "--ramp: got nan"),
        ({"ramp": -1.0}, "--ramp"),
        ({"hold": float("inf")}, "--hold"),
        ({"hold": 301.0, "saturation": True}, "--hold: got 301; allowed: 1 to 300"),
        ({"stream_seconds": 0.0}, "--stream-seconds"),
        ({"url": "ftp://127.0.0.1"}, "--url"),
        ({"url": "127.0.0.1:8080"}, "--url"),
        ({"url": "http://"}, "--url"),
        ({"url": "http://127.0.0.1:99999"}, "--url"),
        ({"url": "http://[::1"}, "--url"),
        ({"url": "http://127.0.0.1/?a=b"}, "--url"),
        ({"url": "http://key:secret@127.0.0.1"}, "user name"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_what_is_allowed(changed: dict[str, object], said: str) -> None:
    with pytest.raises(UnusablePlan, match=said) as refused:
        replace(PLAN, **changed).checked()  # type: ignore[arg-type]
    assert "secret" not in str(refused.value)


def test_streams_open_no_faster_than_a_deployment_is_to_bear() -> None:
    plan = replace(PLAN, streams=1000, ramp=0.0)
    assert plan.opening_seconds == pytest.approx(1 / MAX_OPENINGS_PER_SECOND)
    assert plan.longest_seconds == 50.0
    assert replace(plan, saturation=True).longest_seconds == 50.0 * MAX_STAGES


def test_no_search_has_more_stages_than_its_longest_time_allows_for() -> None:
    for limit in (0, 1, 2, 3, 1023, 1024, 1025, 1999, MAX_STREAMS):
        search, stages = Search(MAX_STREAMS), 0
        while (load := search.next) is not None:
            search.judged(load, carried=load <= limit)
            stages += 1
        assert stages <= MAX_STAGES
