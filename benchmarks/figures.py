"""`python -m benchmarks.figures`: the tables of figures in the documents, from the last run of each benchmark.

Reads `benchmarks/results/*.json` and writes two tables, each between two markers: the five figures to choose by in
README.md, and all of them in docs/performance.md.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
BEGIN: Final = "<!-- figures: `make figures` writes this -->"
END: Final = "<!-- end of figures -->"
# What the README shows, by benchmark and the row's text: the figures that somebody would choose the platform by.
CHOSEN: Final = (
    ("relay", "messages/s against nginx's plain tunnel"),
    ("relay", "real-time streams: added p99 latency"),
    ("relay", "resident memory per open stream"),
    ("http", "requests/s, 64 KB bodies, against plain aiohttp"),
    ("usage", "reading to row at 1,000 readings/s, p99"),
)
# The order of benchmarks in the table; one that is not here comes after.
ORDER: Final = ("relay", "http", "usage")
# A measurement is not more exact than this many digits.
SIGNIFICANT: Final = 3


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The figures as Markdown, a row each: what, measured, the bounds it is held to, and the command."""
    lines = ["| figure | measured | must | aim | command |", "|---|---|---|---|---|"]
    for result in sorted(results, key=_place):
        command = f"`make bench-{result['benchmark']}`, {result['when'][:10]}"
        lines += [f"| {row['text']} | {_value(row)} | {_bound(row, 'must')} | {_bound(row, 'aim')} | {command} |"
                  for row in result["table"]]  # fmt: skip
    return "\n".join(lines)


def chosen(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """`results` with the rows of `CHOSEN` alone. Raises ValueError if a benchmark has run and lacks one of them."""
    kept: list[Mapping[str, Any]] = []
    for result in results:
        wanted = [text for name, text in CHOSEN if name == result["benchmark"]]
        rows = {row["text"]: row for row in result["table"]}
        missing = [text for text in wanted if text not in rows]
        if missing:
            raise ValueError(f"bench-{result['benchmark']} has no figure {missing[0]!r}; rename it in CHOSEN too")
        kept.append({**result, "table": [rows[text] for text in wanted]})
    return kept


def replaced(text: str, figures: str) -> str:
    """`text` with `figures` between the markers. Raises ValueError if they are not there, once and in order."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"got a text without the markers; allowed: one {BEGIN!r} and behind it one {END!r}")
    return f"{head}{BEGIN}\n\n{figures}\n\n{END}{tail}"


def _place(result: Mapping[str, Any]) -> tuple[int, str]:
    name = result["benchmark"]
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _value(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "-"
    text = _number(row["value"], row["unit"])
    return text if row["met"] else f"**{text}**"


def _bound(row: Mapping[str, Any], name: str) -> str:
    return "-" if row.get(name) is None else _number(row[name], row["unit"])


def _number(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if abs(value) >= 10**SIGNIFICANT else f"{value:.{SIGNIFICANT}g}"
    return f"{number} {unit}".strip()


def _read() -> Iterator[Mapping[str, Any]]:
    for path in sorted(RESULTS.glob("*.json")):
        yield json.loads(path.read_text())


def main() -> int:
    """Write both tables; 1 if there is nothing to write."""
    results = list(_read())
    if not results:
        print(f"figures: {RESULTS} holds no result; run make bench first", file=sys.stderr)
        return 1
    for document, shown in (("README.md", chosen(results)), ("docs/performance.md", results)):
        path = ROOT / document
        path.write_text(replaced(path.read_text(), table(shown)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
