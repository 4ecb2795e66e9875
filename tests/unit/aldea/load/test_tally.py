import json
import math

import pytest

from aldea.load.tally import Distribution, Tally


def test_percentiles_are_right_to_one_percent() -> None:
    seen = Distribution()
    for number in range(1, 1001):
        seen.add(number / 100)
    for percent in (50, 90, 95, 99):
        assert seen.percentile(percent) == pytest.approx(percent / 10, rel=0.01)
    assert seen.most == 10.0
    assert seen.within(2.0) == pytest.approx(200, abs=3)
    assert seen.within(10.0) == 1000
    assert seen.within(0.001) == 0


def test_what_never_came_is_the_slowest_of_all_and_no_number_in_json() -> None:
    seen = Distribution()
    seen.add(1.0)
    seen.add(math.inf)
    assert seen.percentile(50) == 1.0
    assert seen.percentile(99) == math.inf
    assert seen.within(3600.0) == 1
    figures = seen.figures()
    assert (figures["count"], figures["p99"], figures["max"]) == (2, None, None)
    json.dumps(figures, allow_nan=False)


def test_nothing_has_no_percentile_and_a_zero_is_one() -> None:
    assert Distribution().percentile(95) is None
    seen = Distribution()
    seen.add(0.0)
    assert seen.percentile(95) == 0.0


def test_memory_is_bounded_whatever_is_measured_and_however_a_server_closes() -> None:
    seen, tally = Distribution(), Tally()
    for number in range(20_000):
        seen.add(number / 7)
    for code in range(1000, 5000):
        tally.fail(f"close {code}")
        tally.fail_upload(f"status {code}")
    assert len(seen._buckets) < 2000
    assert len(tally.failures) <= 33
    assert len(tally.upload_failures) <= 33
    assert tally.failed == 4000
    assert tally.failures["other"] > 3900


def test_the_document_names_each_cause() -> None:
    tally = Tally()
    tally.fail("close 1011")
    tally.fail("close 1011")
    tally.fail("status 503")
    assert tally.document()["streams"]["failures"] == {"close 1011": 2, "status 503": 1}
