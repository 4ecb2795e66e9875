"""axe-core, as a second opinion on accessibility: what WCAG 2.2 A and AA let a program find.

tests/vendor/axe-core holds it unchanged. Contrast and sizes are left to accessibility.js, which looks at them in both
themes and at every width.
"""

import json
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page

_SOURCE: Final = (Path(__file__).parents[1] / "vendor" / "axe-core" / "axe.min.js").read_text()
_OPTIONS: Final = json.dumps(
    {
        "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
        "rules": {"color-contrast": {"enabled": False}, "target-size": {"enabled": False}},
        "resultTypes": ["violations"],
        "preload": False,
    }
)


async def violations(page: Page) -> list[str]:
    """What it finds on the page as it is now, each with its rule and the elements."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_SOURCE)
    found: dict[str, Any] = await page.evaluate(f"axe.run({_OPTIONS})")
    return [
        f"{rule['id']}: {rule['help']}: {[node['html'][:110] for node in rule['nodes']][:5]}"
        for rule in found["violations"]
    ]
