from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from onebox.observe import panels
from onebox.observe.drawn import FOLDER
from onebox.observe.panels import UnusableView

LANE: dict[str, Any] = {"name": "lane", "includeAll": True, "allValue": ".*"}
PROJECT: dict[str, Any] = {"name": "project", "includeAll": False}
LANES = [("live1", "live1"), ('a"b', 'a"b')]


def test_a_span_of_time_is_written_as_in_grafana_and_bounded() -> None:
    over = panels.span("now-3h", 20_000.9)
    assert (over.since, over.until) == (9_200, 20_000)
    assert len(over.times) <= panels.POINTS + 1
    assert over.times[0] == over.since
    assert panels.span("now-1m", 100_000).step == panels.LEAST_STEP_SECONDS


@pytest.mark.parametrize("text", ["", "now", "now-0h", "now-91d", "now-9999h", "3h", "now-3h ", "now-٣h", "now-3h/d"])
def test_another_span_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UnusableView, match="allowed: now-15m"):
        panels.span(text, 1e6)


def test_a_variable_is_one_of_the_values_that_there_are() -> None:
    assert panels.chosen(LANE, LANES, None)[0] == ".*"
    assert panels.chosen(LANE, LANES, "All")[0] == ".*"
    value, options = panels.chosen(LANE, LANES, "live1")
    assert value == "live1"
    assert [option["value"] for option in options if option["taken"]] == ["live1"]
    assert panels.chosen(PROJECT, [("p1", "Radio"), ("p2", "TV")], None)[0] == "p1"
    assert panels.chosen(PROJECT, [], None) == ("", [])


@pytest.mark.parametrize("wanted", ["live2", '"} or vector(1) #', "", "' or true --"])
def test_whatever_else_is_given_reaches_no_query(wanted: str) -> None:
    for variable in (LANE, PROJECT):
        with pytest.raises(UnusableView, match="not one of those"):
            panels.chosen(variable, LANES[:1], wanted)


def test_a_strange_value_that_there_is_does_not_end_its_string() -> None:
    assert panels.chosen(LANE, LANES, 'a"b')[0] == 'a\\\\"b'


def test_legends_and_gaps_are_those_of_grafana() -> None:
    matrix: list[dict[str, Any]] = [
        {"metric": {"lane": "a"}, "values": [[10, "1"], [40, "NaN"]]},
        {"metric": {}, "values": [[25, "2.5"]]},
    ]
    lines = panels.lines_of(matrix, "p50 {{lane}}")
    assert [label for label, _ in lines] == ["p50 a", "p50"]
    assert panels.legend("{{lane}}", {}) == "value"
    assert panels.drawn(lines, [10, 25, 40]) == {
        "labels": ["p50 a", "p50"],
        "columns": [[10, 25, 40], [1.0, None, None], [None, 2.5, None]],
    }


def test_rows_are_lines_by_their_metric_or_their_columns_and_tables_are_plain() -> None:
    day, next_day = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    rows = [
        {"time": day, "metric": "a", "hours": Decimal("1.5")},
        {"time": next_day, "metric": "b", "hours": Decimal(2)},
    ]
    times = [day.timestamp(), next_day.timestamp()]
    assert panels.drawn_rows(rows) == {"labels": ["a", "b"], "columns": [times, [1.5, None], [None, 2.0]]}
    assert panels.drawn_rows([{"time": day, "first words": 3}])["labels"] == ["first words"]
    found = panels.table(["at", "day", "n"], [{"at": day, "day": date(2026, 1, 1), "n": None}])
    assert found["rows"] == [["2026-01-01 00:00:00", "2026-01-01", None]]


def test_macros_and_variables_of_a_statement_are_filled_in() -> None:
    over = panels.span("now-1h", 7200)
    statement = panels.dated("day between $__timeFrom()::date and $__timeTo()::date", over)
    assert statement == "day between to_timestamp(3600)::date and to_timestamp(7200)::date"
    assert panels.filled("x = '$project'", {"project": "p1"}) == "x = 'p1'"


def test_every_unit_of_the_shipped_dashboards_is_known_to_the_page() -> None:
    """A chart without a unit would be drawn by nobody: the page's script is looked at."""
    script = (FOLDER.parents[2] / "onebox" / "observe" / "dashboard.html").read_text()
    used = {
        unit
        for model in panels.models(FOLDER).values()
        for panel in model["panels"]
        for unit in panels.units(panel).values()
    }
    assert {"s", "currencyUSD", "none"} <= used
    assert not [unit for unit in used if f"{unit}:" not in script]


def test_the_columns_of_a_table_have_units_of_their_own() -> None:
    [money] = [
        panel for panel in panels.models(FOLDER)["money"]["panels"] if panel["title"] == "Projects that pay most"
    ]
    assert panels.units(money) == {"": "currencyUSD", "hours": "h"}


def test_a_variable_of_another_kind_is_refused() -> None:
    assert panels.label_of("label_values(aldea_ws_replay_window_bytes, lane)") == (
        "aldea_ws_replay_window_bytes", "lane",
    )  # fmt: skip
    with pytest.raises(UnusableView):
        panels.label_of("query_result(up)")
