"""The objectives as the Pulumi program reads them, which imports no service. No I/O."""

import json
from typing import Final

from aldea.objectives import BURNS, OBJECTIVES

_SECONDS: Final = {"m": 60, "h": 3600}


def text() -> str:
    """JSON: the objectives with their budgets and metrics, and the burn rates with their shorter windows in seconds."""
    return (
        json.dumps(
            {
                "objectives": [
                    {
                        "name": objective.name,
                        "title": objective.title,
                        "promise": objective.promise,
                        "budget": round(objective.budget, 6),
                        "metric": objective.counted,
                    }
                    for objective in OBJECTIVES
                ],
                "burns": [
                    {"name": burn.name, "rate": burn.rate, "short_seconds": _seconds(burn.short)} for burn in BURNS
                ],
            },
            indent=1,
        )
        + "\n"
    )


def _seconds(window: str) -> int:
    return int(window[:-1]) * _SECONDS[window[-1]]
