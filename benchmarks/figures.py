"""`python -m benchmarks.figures`: the README's table of figures, from the last run of each benchmark.

Reads `benchmarks/results/*.json` and replaces what stands in README.md between its two markers.
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
# By what people ask for first; a benchmark that is not here comes after.
ORDER: Final = ("relay", "http", "usage")
# Of a second's digits more than these say nothing.
SIGNIFICANT: Final = 3


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The figures as Markdown, a row each: what, measured, the bounds it is held to, and the command."""
    lines = ["| figure | measured | must | aim | command |", "|---|---|---|---|---|"]
    for result in sorted(results, key=_place):
        command = f"`make bench-{result['benchmark']}`, {result['when'][:10]}"
        lines += [f"| {row['text']} | {_value(row)} | {_bound(row, 'must')} | {_bound(row, 'aim')} | {command} |"
                  for row in result["table"]]  # fmt: skip
    return "\n".join(lines)


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
    """Write the README's table; 1 if there is nothing to write."""
    results = list(_read())
    if not results:
        print(f"figures: {RESULTS} holds no result; run make bench first", file=sys.stderr)
        return 1
    readme = ROOT / "README.md"
    readme.write_text(replaced(readme.read_text(), table(results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
