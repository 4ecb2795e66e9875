from typing import Any

import pytest

from benchmarks import figures
from benchmarks.figures import BEGIN, CHOSEN, END, chosen, replaced, table


def result(name: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"benchmark": name, "when": "2026-11-25T20:00:00+00:00", "table": rows}


def row(value: float | None, unit: str, *, met: bool = True) -> dict[str, Any]:
    return {"text": "what", "value": value, "unit": unit, "must": 0.5, "aim": None, "met": met}


def test_each_figure_is_shown_with_its_bounds_and_its_command() -> None:
    shown = table([result("usage", row(0.5849, "x"))]).splitlines()
    assert shown[2] == "| what | 0.585 x | 0.5 x | - | `make bench-usage`, 2026-11-25 |"


def test_the_proxies_come_first_and_an_unranked_benchmark_last() -> None:
    shown = table([result("other", row(1, "s")), result("usage", row(1, "s")), result("relay", row(1, "s"))])
    assert [line.split("bench-")[1].split("`")[0] for line in shown.splitlines()[2:]] == ["relay", "usage", "other"]


def test_what_misses_its_bound_is_bold_and_what_was_not_measured_is_a_dash() -> None:
    shown = table([result("http", row(0.1, "ms", met=False), row(None, "ms"))]).splitlines()
    assert "| **0.1 ms** |" in shown[2]
    assert "| what | - | 0.5 ms |" in shown[3]


def test_large_numbers_are_whole() -> None:
    assert "| 52,754 |" in table([result("relay", row(52753.7, ""))])


def test_only_the_text_between_the_markers_is_replaced() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(text, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}"])
def test_a_text_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="markers"):
        replaced(text, "new")


def test_the_readme_shows_the_chosen_figures_alone() -> None:
    other = {**row(1, "x"), "text": "something else"}
    (found,) = chosen([result("http", other, {**row(2, "x"), "text": CHOSEN[3][1]})])
    assert [each["text"] for each in found["table"]] == [CHOSEN[3][1]]


def test_a_chosen_figure_that_was_renamed_is_an_error() -> None:
    with pytest.raises(ValueError, match="rename it in CHOSEN too"):
        chosen([result("usage", row(1, "s"))])


def test_both_documents_show_the_last_results() -> None:
    results = list(figures._read())
    for document, shown in (("README.md", chosen(results)), ("docs/performance.md", results)):
        text = (figures.ROOT / document).read_text()
        assert replaced(text, table(shown)) == text, f"{document}: run make figures"
