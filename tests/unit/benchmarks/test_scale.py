"""The model of large loads: its arithmetic, the simulation that checks it, and the document that shows it."""

import pytest

from benchmarks import scale
from benchmarks.scale import DOCUMENT, SIZES, Load, demand, dollars, saturation, simulated, table, written


def test_a_thousand_streams_need_what_was_measured_for_a_thousand() -> None:
    found = demand(Load(1000, seconds=100.0))
    assert (found.openings, found.scripts) == (10.0, 120.0)
    assert found.proxy_cores == pytest.approx(0.43 + 0.00768)
    assert found.redis_cores == pytest.approx(120 * 58e-6)
    assert found.audio_gbit == pytest.approx(0.256)
    assert (found.tasks, found.primaries, found.publishers, found.updaters) == (1, 1, 1, 1)


def test_what_a_part_carries_is_what_needs_exactly_one_of_it() -> None:
    carried = saturation()
    for name, count in (("a ws-proxy task", "tasks"), ("a Redis primary", "primaries")):
        assert getattr(demand(Load(int(carried[name]))), count) == 1
        assert getattr(demand(Load(int(carried[name]) + 1)), count) == 2


def test_twice_the_streams_need_twice_of_all() -> None:
    one, two = demand(Load(500_000)), demand(Load(1_000_000))
    for name in ("openings", "scripts", "proxy_cores", "redis_cores", "database_cores", "rows_a_month", "audio_gbit"):
        assert getattr(two, name) == pytest.approx(2 * getattr(one, name))


def test_shorter_streams_cost_more_scripts() -> None:
    assert demand(Load(1000, seconds=10)).scripts > demand(Load(1000, seconds=1000)).scripts


def test_every_reading_has_a_publisher_for_its_primary() -> None:
    found = demand(Load(1_000_000))
    assert found.publishers >= found.primaries > 1


def test_a_simulation_of_streams_meets_the_computed_rates() -> None:
    load = Load(2000, seconds=60.0)
    openings, scripts = simulated(load, seconds=300.0, seed=24)
    found = demand(load)
    assert openings == pytest.approx(found.openings, rel=0.05)
    # A stream that ends renews a last time a little less often than every ten seconds.
    assert scripts == pytest.approx(found.scripts, rel=0.1)


def test_a_bill_grows_with_its_load() -> None:
    sums = [sum(dollars(Load(streams)).values()) for streams in SIZES]
    assert sums == sorted(sums)
    assert all(value > 0 for value in dollars(Load(1)).values())


def test_the_document_shows_the_model() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert written(text) == text, "run: make scale ARGS=--write"


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        written("nothing")


def test_numbers_have_three_digits() -> None:
    assert [scale._number(value) for value in (0.1234, 12.34, 1234.0, 987654.0)] == [
        "0.123",
        "12.3",
        "1,230",
        "988,000",
    ]
    assert table([Load(1000)]).startswith("| concurrent streams | 1,000 |")
