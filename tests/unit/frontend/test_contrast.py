"""WCAG 2.2 AA contrast, computed from the design's own values for both themes."""

import re

import pytest

from frontend.assets import STATIC
from frontend.chart import MOST

TOKENS = (STATIC / "css" / "tokens.css").read_text()
# WCAG 2.2: 1.4.3 (text) and 1.4.11 (what identifies a control, and focus).
TEXT, CONTROL = 4.5, 3.0

TEXT_ON = [
    *[(ink, ground) for ink in ("ink", "muted") for ground in ("paper", "surface", "sunken", "hover")],
    *[("accent", ground) for ground in ("paper", "surface", "sunken", "hover")],
    ("accent-hover", "paper"),
    ("accent-hover", "surface"),
    ("on-accent", "accent"),
    ("on-accent", "accent-hover"),
    ("on-accent-soft", "accent-soft"),
    ("danger", "surface"),
    ("danger", "paper"),
    ("on-danger", "danger"),
    ("on-danger", "danger-hover"),
    ("on-danger-soft", "danger-soft"),
    ("on-warn-soft", "warn-soft"),
]
CONTROL_ON = [
    *[("line-strong", ground) for ground in ("paper", "surface")],
    *[("focus", ground) for ground in ("paper", "surface", "sunken", "hover")],
    *[(f"series-{number}", "surface") for number in range(1, MOST + 2)],
    ("accent", "sunken"),
    ("series-2", "sunken"),
    ("danger", "sunken"),
]


def colours(theme: str) -> dict[str, str]:
    found = re.findall(r"--([a-z0-9-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", TOKENS)
    return {name: light if theme == "light" else dark for name, light, dark in found}


def luminance(colour: str) -> float:
    def linear(channel: float) -> float:
        return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_arithmetic_is_the_standards() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT_ON)
def test_text_can_be_read(theme: str, ink: str, ground: str) -> None:
    found = colours(theme)
    assert contrast(found[ink], found[ground]) >= TEXT


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("mark", "ground"), CONTROL_ON)
def test_controls_focus_and_charts_can_be_seen(theme: str, mark: str, ground: str) -> None:
    found = colours(theme)
    assert contrast(found[mark], found[ground]) >= CONTROL


def test_the_login_pages_own_colours_can_be_read() -> None:
    base = (STATIC / "css" / "base.css").read_text()
    aside = re.search(r"\.login-aside \{.*?background: (#\w{6}); color: (#\w{6})", base, re.DOTALL)
    assert aside
    inks = [aside[2], *re.findall(r"\.login-(?:line em|note) \{[^}]*color: (#\w{6})", base)]
    assert len(inks) == 3
    for ink in inks:
        assert contrast(ink, aside[1]) >= TEXT


def test_no_other_style_names_a_colour_of_its_own() -> None:
    for path in (STATIC / "css").glob("*.css"):
        if path.name in {"tokens.css", "base.css"}:
            continue
        text = re.sub(r"\.toast p \{[^}]*\}", "", path.read_text())
        assert not re.findall(r"#[0-9a-fA-F]{3,8}\b", text), path.name
