"""Grafana's dashboards as the onebox's own page draws them: read from the shipped JSON, never listed anew. No I/O."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

# So many points of a line at most; and never closer than Prometheus scrapes.
POINTS: Final = 240
LEAST_STEP_SECONDS: Final = 15
_RANGE: Final = re.compile(r"now-([1-9]\d{0,2})([mhd])", re.ASCII)
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400}
MOST_SECONDS: Final = 90 * 86_400
_LEGEND: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_LABEL_VALUES: Final = re.compile(r"label_values\((\w+), (\w+)\)")

Line = tuple[str, Mapping[float, float | None]]  # legend, values by Unix time


class UnusableView(ValueError):
    """A view that was requested cannot be drawn; the message says what was got and what is allowed."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, in Unix seconds."""

    since: float
    until: float

    @property
    def step(self) -> int:
        """Between two points, in seconds."""
        return max(LEAST_STEP_SECONDS, math.ceil((self.until - self.since) / POINTS))

    @property
    def times(self) -> list[float]:
        """Where a query of Prometheus has points."""
        count = int((self.until - self.since) // self.step)
        return [self.since + number * self.step for number in range(count + 1)]


def models(folder: Path) -> dict[str, dict[str, Any]]:
    """The dashboards in a folder by their files' names."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def span(text: str, now: float) -> Span:
    """What Grafana writes as `now-3h`. Raises UnusableView."""
    found = _RANGE.fullmatch(text)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < seconds <= MOST_SECONDS:
        raise UnusableView(f"from: got {text[:40]!r}; allowed: now-15m, now-3h, now-30d and the like, at most 90 days.")
    until = math.floor(now)
    return Span(until - seconds, until)


def label_of(query: str) -> tuple[str, str]:
    """Of a variable that lists a label's values, the metric and the label. Raises UnusableView for another one."""
    found = _LABEL_VALUES.fullmatch(query)
    if found is None:
        raise UnusableView(f"got a variable with the query {query[:80]!r}; allowed: label_values(METRIC, LABEL)")
    return found[1], found[2]


def chosen(
    variable: Mapping[str, Any], options: Sequence[tuple[str, str]], wanted: str | None
) -> tuple[str, list[dict[str, str]]]:
    """A variable's value, and the options that a person has, with the one that is taken. Raises UnusableView."""
    offered = [("All", "All")] if variable["includeAll"] else []
    offered += [(value, text) for value, text in options]
    if wanted is None and offered:
        wanted = offered[0][0]
    if wanted is not None and wanted not in {value for value, _ in offered}:
        raise UnusableView(f"{variable['name']}: got {wanted[:80]!r}, which is not one of those that there are.")
    value = variable["allValue"] if variable["includeAll"] and wanted == "All" else _quoted(wanted or "")
    return value, [
        {"value": option, "text": text, "taken": "selected" if option == wanted else ""} for option, text in offered
    ]


def _quoted(value: str) -> str:
    """For a regular expression of RE2 within a string of PromQL; ids and common names stay as they are."""
    return re.sub(r"[^\w-]", lambda found: f"\\\\{found[0]}", value)


def filled(query: str, values: Mapping[str, str]) -> str:
    """A query with its variables' values."""
    for name, value in values.items():
        query = query.replace(f"${name}", value)
    return query


def dated(statement: str, over: Span) -> str:
    """A statement with what Grafana's macros stand for."""
    return statement.replace("$__timeFrom()", f"to_timestamp({over.since:.0f})").replace(
        "$__timeTo()", f"to_timestamp({over.until:.0f})"
    )


def legend(form: str, labels: Mapping[str, str]) -> str:
    """A line's name, as `legendFormat` has it."""
    return _LEGEND.sub(lambda found: labels.get(found[1], ""), form).strip() or "value"


def lines_of(matrix: Iterable[Mapping[str, Any]], form: str) -> list[Line]:
    """The series of a range query."""
    return [
        (legend(form, series["metric"]), {float(at): _number(float(value)) for at, value in series["values"]})
        for series in matrix
    ]


def drawn(lines: Sequence[Line], times: Sequence[float]) -> dict[str, Any]:
    """Lines as uPlot takes them: their names, the times, and a column of values for each."""
    return {
        "labels": [label for label, _ in lines],
        "columns": [list(times), *([values.get(at) for at in times] for _, values in lines)],
    }


def drawn_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows with a column `time`, in its order, as lines: one for each `metric`, or for each other column."""
    lines: dict[str, dict[float, float | None]] = {}
    for row in rows:
        at = row["time"].timestamp()
        for name, value in row.items():
            if name not in {"time", "metric"}:
                lines.setdefault(str(row.get("metric", name)), {})[at] = _plain(value)
    return drawn(list(lines.items()), sorted({at for values in lines.values() for at in values}))


def table(head: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows as a table."""
    return {"head": list(head), "rows": [[_plain(row[name]) for name in head] for row in rows]}


def units(panel: Mapping[str, Any]) -> dict[str, str]:
    """A panel's unit as "", and by name those of its columns that have others."""
    config = panel["fieldConfig"]
    found = {"": config["defaults"]["unit"]}
    for override in config["overrides"]:
        for given in override["properties"]:
            if override["matcher"]["id"] == "byName" and given["id"] == "unit":
                found[override["matcher"]["options"]] = given["value"]
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal | float):
        return _number(float(value))
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return value.isoformat() if isinstance(value, date) else value


def _number(value: float) -> float | None:
    """JSON has no other numbers than finite ones."""
    return value if math.isfinite(value) else None
