from typing import Any

import pytest

from benchmarks.figures import BEGIN, END, replaced, table


def result(name: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"benchmark": name, "when": "2026-11-25T20:00:00+00:00", "table": rows}


def row(value: float | None, unit: str, *, met: bool = True) -> dict[str, Any]:
    return {"text": "what", "value": value, "unit": unit, "must": 0.5, "aim": None, "met": met}


def test_each_figure_stands_with_its_bounds_and_the_command_that_shows_it() -> None:
    shown = table([result("usage", row(0.5849, "x"))]).splitlines()
    assert shown[2] == "| what | 0.585 x | 0.5 x | - | `make bench-usage`, 2026-11-25 |"


def test_the_proxies_come_first_and_a_benchmark_nobody_ranked_last() -> None:
    shown = table([result("other", row(1, "s")), result("usage", row(1, "s")), result("relay", row(1, "s"))])
    assert [line.split("bench-")[1].split("`")[0] for line in shown.splitlines()[2:]] == ["relay", "usage", "other"]


def test_what_misses_its_bound_is_bold_and_what_was_not_measured_is_a_dash() -> None:
    shown = table([result("http", row(0.1, "ms", met=False), row(None, "ms"))]).splitlines()
    assert "| **0.1 ms** |" in shown[2]
    assert "| what | - | 0.5 ms |" in shown[3]


def test_large_numbers_are_whole() -> None:
    assert "| 52,754 |" in table([result("relay", row(52753.7, ""))])


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(text, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}"])
def test_a_text_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="markers"):
        replaced(text, "new")
