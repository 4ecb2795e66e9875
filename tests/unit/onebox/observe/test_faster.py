import re

import pytest
import yaml

from onebox.observe.__main__ import FOLDER
from onebox.observe.faster import MOST, SHORTEST_INTERVAL_MS, faster, milliseconds

RULES = (FOLDER / "rules.yml").read_text()
CONFIGURATION = (FOLDER / "prometheus.yml").read_text()
_WINDOW = re.compile(r"\[(\w+)\]")


def rules(text: str) -> list[dict[str, str]]:
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(
    ("text", "value"), [("250ms", 250), ("15s", 15_000), ("5m", 300_000), ("6h", 21_600_000), ("3d", 259_200_000)]
)
def test_a_duration_is_read_in_every_unit(text: str, value: int) -> None:
    assert milliseconds(text) == value


@pytest.mark.parametrize("factor", [7, MOST])
def test_every_window_and_wait_is_divided_and_nothing_else_changes(factor: int) -> None:
    before, after = rules(RULES), rules(faster(RULES, factor))
    assert len(before) == len(after)
    for slow, fast in zip(before, after, strict=True):
        assert _WINDOW.sub("[]", slow["expr"]) == _WINDOW.sub("[]", fast["expr"])
        windows = zip(_WINDOW.findall(slow["expr"]), _WINDOW.findall(fast["expr"]), strict=True)
        assert all(milliseconds(one) // factor == milliseconds(other) for one, other in windows)
        assert milliseconds(slow.get("for", "0s")) // factor == milliseconds(fast.get("for", "0s"))
        kept = {"alert", "record", "labels", "annotations"}
        assert {name: slow.get(name) for name in kept} == {name: fast.get(name) for name in kept}


def test_intervals_are_divided_down_to_a_second() -> None:
    [objectives] = [group for group in yaml.safe_load(faster(RULES, 2))["groups"] if "interval" in group]
    assert objectives["interval"] == "15000ms"
    configuration = yaml.safe_load(faster(CONFIGURATION, MOST))
    least = f"{SHORTEST_INTERVAL_MS}ms"
    assert configuration["global"] == {"scrape_interval": least, "evaluation_interval": least}
    assert configuration["scrape_configs"] == yaml.safe_load(CONFIGURATION)["scrape_configs"]


def test_the_shortest_window_still_holds_scrapes_enough_for_a_rate() -> None:
    windows = {milliseconds(window) for rule in rules(faster(RULES, MOST)) for window in _WINDOW.findall(rule["expr"])}
    assert min(windows) >= 4 * SHORTEST_INTERVAL_MS


def test_at_the_usual_pace_they_are_as_shipped() -> None:
    assert faster(RULES, 1) == RULES
