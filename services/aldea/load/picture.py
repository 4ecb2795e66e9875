"""The picture of a load test's report: streams, failures and times to words over the test's course, as SVG. No I/O."""

from collections.abc import Sequence
from html import escape
from typing import Any, Final

_WIDTH: Final = 900
_LEFT, _RIGHT = 70, 20
_PANEL: Final = 150
_GAP: Final = 46
_TOP: Final = 84
_INK: Final = "#1f2933"
_GRID: Final = "#d5dbe1"
_STREAMS, _WANTED, _FAILED, _FIRST, _LAG = "#2563eb", "#93c5fd", "#dc2626", "#0f766e", "#b45309"

Series = tuple[str, str, Sequence[float | None]]  # title, colour, values


def picture(report: dict[str, Any]) -> str:
    """The report (see `report.document`) as an SVG image."""
    course = report["course"]
    times = [window["at"] + window["seconds"] for window in course]
    panels: list[tuple[str, list[Series]]] = [
        (
            "streams at a time",
            [("wanted", _WANTED, _column(course, "wanted")), ("open", _STREAMS, _column(course, "open"))],
        ),
        ("streams failed", [("failed", _FAILED, _column(course, "failed"))]),
        (
            "seconds to words, p95",
            [
                ("first words", _FIRST, _column(course, "first_words_p95")),
                ("lag of finals", _LAG, _column(course, "final_lag_p95")),
            ],
        ),
    ]
    height = _TOP + len(panels) * (_PANEL + _GAP)
    frame = f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<g fill="{_INK}">',
        f'<text x="{_LEFT}" y="24" font-size="16" font-weight="bold">{escape(_title(report))}</text>',
        f'<text x="{_LEFT}" y="44">{escape(_verdict(report))}</text>',
    ]
    for number, (title, series) in enumerate(panels):
        parts += _drawn(_TOP + number * (_PANEL + _GAP), title, series, times)
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _title(report: dict[str, Any]) -> str:
    return f"Load test of {report['url']}: {report['most_open_streams']} streams at a time, {report['seconds']:.0f} s"


def _verdict(report: dict[str, Any]) -> str:
    if not report["verdict"]["credible"]:
        return "No verdict: the generator itself was too slow."
    if (found := report.get("saturation")) is not None:
        if found["not_carried"] is None:
            return f"No saturation point up to {found['streams']} streams."
        return f"Saturation point: {found['streams']} streams; {found['not_carried']} fail by: {found['by']}"
    return "The objectives are kept." if report["verdict"]["kept"] else "The objectives are not kept."


def _column(course: Sequence[dict[str, Any]], name: str) -> list[float | None]:
    return [window[name] for window in course]


def _drawn(top: int, title: str, series: Sequence[Series], times: Sequence[float]) -> list[str]:
    """One panel: its frame, its scale and its lines."""
    most = max((value for _, _, values in series for value in values if value is not None), default=0) or 1
    end = max(times, default=0) or 1
    bottom, wide = top + _PANEL, _WIDTH - _LEFT - _RIGHT
    parts = [f'<text x="{_LEFT}" y="{top - 8}" font-weight="bold">{escape(title)}</text>']
    for part in (0, 0.5, 1):
        y = bottom - part * (_PANEL - 10)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="{_GRID}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{part * most:.3g}</text>')
    for part in (0, 0.5, 1):
        x = _LEFT + part * wide
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{part * end:.0f} s</text>')
    for number, (name, colour, values) in enumerate(series):
        x = _WIDTH - _RIGHT - 110 * (len(series) - number)
        parts.append(f'<rect x="{x}" y="{top - 18}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 14}" y="{top - 8}">{escape(name)}</text>')
        for line in _lines(values, times):
            points = " ".join(
                f"{_LEFT + at / end * wide:.1f},{bottom - value / most * (_PANEL - 10):.1f}" for at, value in line
            )
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts += [
                f'<circle cx="{_LEFT + at / end * wide:.1f}" cy="{bottom - value / most * (_PANEL - 10):.1f}" r="2" '
                f'fill="{colour}"/>'
                for at, value in line
            ]
    return parts


def _lines(values: Sequence[float | None], times: Sequence[float]) -> list[list[tuple[float, float]]]:
    """The values as lines; where nothing was measured there is a gap."""
    lines: list[list[tuple[float, float]]] = [[]]
    for at, value in zip(times, values, strict=True):
        if value is not None:
            lines[-1].append((at, value))
        elif lines[-1]:
            lines.append([])
    return [line for line in lines if line]
