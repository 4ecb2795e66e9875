from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from frontend import wording

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


def test_a_time_is_shown_in_the_readers_zone_with_utc_at_hand() -> None:
    shown = wording.moment("2026-11-23T23:30:00+00:00", ZoneInfo("Europe/Berlin"))
    assert ">24 Nov 2026, 00:30</time>" in shown
    assert 'title="2026-11-23 23:30:00 UTC"' in shown
    assert "00:30:00" in wording.moment("2026-11-23T23:30:00Z", ZoneInfo("Europe/Berlin"), seconds=True)


def test_a_page_of_utc_days_shows_utc_with_the_readers_time_at_hand() -> None:
    shown = wording.moment("2026-11-23T23:30:00+00:00", ZoneInfo("Europe/Berlin"), utc=True)
    assert shown == (
        '<time datetime="2026-11-23T23:30:00+00:00" title="2026-11-24 00:30:00 Europe/Berlin" data-utc>'
        "23 Nov 2026, 23:30</time>"
    )


def test_no_time_and_nonsense_are_a_dash() -> None:
    assert wording.moment(None, ZoneInfo("UTC")) == wording.moment("soon", ZoneInfo("UTC")) == "—"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "just now"), (61, "1 minute ago"), (7300, "2 hours ago"), (86_400 * 3, "3 days ago")],
)
def test_how_long_ago_has_one_unit(seconds: int, words: str) -> None:
    assert wording.ago((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == words


def test_never_is_a_word() -> None:
    assert wording.ago(None, NOW) == "never"


def test_days_have_their_names() -> None:
    assert wording.day_title("2026-11-23") == "Mon, 23 Nov 2026"
    assert wording.day_title("2026-11-23T00:00:00Z") == "Mon, 23 Nov 2026"
    assert wording.day_title("total") == "total"
    assert wording.month_title("2026-11") == "November 2026"
    assert wording.month_title("total") == "total"


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0, "0 s"),
        (18.725 / 3600, "18.7 s"),
        (0.52, "31.2 min"),
        (1.5, "1.50 h"),
        (12345, "12,345 h"),
        (181.667, "181.7 h"),
    ],
)
def test_audio_has_the_unit_that_suits_it(hours: float, words: str) -> None:
    assert wording.hours(hours) == words


def test_figures_read_as_people_write_them() -> None:
    assert wording.number(1234567) == "1,234,567"
    assert wording.number(1234.5) == "1,234.50"
    assert wording.precise(18.7254) == "18.725 s"
    assert wording.precise(1745.993) == "29 m 05 s"
    assert wording.precise(59.9996) == "60.000 s"
    assert wording.precise(3_726) == "1 h 02 m 06 s"
    assert [wording.counted(count, "request") for count in (0, 1, 1200)] == [
        "0 requests",
        "1 request",
        "1,200 requests",
    ]
    assert wording.size(999) == "999 B"
    assert wording.size(599_200) == "599.2 kB"
    assert wording.size(5e15) == "5,000.0 TB"
    assert wording.money(1.5) == "$1.50"
    assert wording.money(0.000036) == "$0.000036"
    assert wording.money(0.0019) == "$0.0019"
    assert wording.money(-3) == "-$3.00"
    assert wording.money(3, "eur") == "3.00 eur"
    assert wording.short_id("0199aaaa-0000-7000-8000-000000000001") == "…00000001"


def test_what_is_not_known_is_a_dash() -> None:
    for function in (wording.number, wording.hours, wording.audio, wording.precise, wording.size, wording.money):
        assert function(None) == "—"
    assert wording.short_id(None) == "—"


def test_a_share_stays_between_none_and_all() -> None:
    assert wording.percent(50, 200) == 25
    assert wording.percent(500, 200) == 100
    assert wording.percent(5, None) is None
    assert wording.percent(None, 5) is None
    assert wording.percent(5, 0) is None


def test_a_month_begins_anew_on_the_first_in_utc() -> None:
    assert wording.reset_of_month(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == "2027-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("production server (…a4Ui)", 'production server <span class="whole">(…a4Ui)</span>'),
        ("…3f9c0d1e", '<span class="whole">…3f9c0d1e</span>'),
        ("<b> … (…a4Ui)", '&lt;b&gt; … <span class="whole">(…a4Ui)</span>'),
        ("mobile app", "mobile app"),
        ("wait… for it", "wait… for it"),
        ("", ""),
    ],
)
def test_the_abbreviation_that_a_name_ends_in_is_never_broken(name: str, shown: str) -> None:
    assert wording.whole_end(name) == shown
