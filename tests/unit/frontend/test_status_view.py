"""How the status page words what it shows."""

import pytest

from frontend import status_view
from frontend.status_models import Status, StatusDay
from tests.fakes.platform_api import status_of

STATUS = Status.model_validate(status_of())


def day(good: float | None) -> StatusDay:
    return StatusDay(day="2026-11-30", runs=0 if good is None else 1, good=good)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (None, "no data"), (1.0, "100 %"), (0.99999, "99.99 %"), (0.9995, "99.95 %"), (0.5, "50 %"), (0.0, "0 %"),
        (0.29, "29 %"), (2 / 3, "66.66 %"), (1439 / 1440, "99.93 %"),
    ],
)  # fmt: skip
def test_a_share_is_never_rounded_up_and_none_is_no_data(part: float | None, text: str) -> None:
    assert status_view.share(part) == text


@pytest.mark.parametrize(
    ("part", "kind"), [(None, "none"), (1.0, "good"), (0.995, "good"), (0.96, "warn"), (0.94, "bad"), (0.0, "bad")]
)
def test_a_bar_has_the_colour_of_its_day(part: float | None, kind: str) -> None:
    assert status_view.bar(day(part)) == kind


def test_the_table_has_the_days_with_data_the_newest_first() -> None:
    rows = status_view.day_rows(STATUS)
    assert [row.day for row in rows] == ["2026-11-23", "2026-11-22"]
    assert rows[0].shares == ("99.99 %", "100 %", "97 %")


def test_bars_are_read_out_as_a_sentence() -> None:
    [stream, *_] = STATUS.components
    said = status_view.in_words(stream.title, stream.days)
    assert said == "Live streams: data of 2 of 90 days, 1 of them with failures"


def test_a_state_that_this_console_does_not_know_is_none_that_is_good() -> None:
    assert status_view.state("new") == ("No data", "")
    assert status_view.headline(STATUS.model_copy(update={"state": "new"}))[1] == "warn"
    assert status_view.headline(None) == ("The status cannot be read right now", "warn")
