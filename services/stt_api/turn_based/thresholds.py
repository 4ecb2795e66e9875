"""When a turn ends: the thresholds of `/v2/listen`, from a query or a Configure message, checked. No I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

EOT: Final = (0.5, 1.0)
EAGER_EOT: Final = (0.3, 0.9)
TIMEOUT_MS: Final = (500, 60_000)
NAMES: Final = ("eot_threshold", "eager_eot_threshold", "eot_timeout_ms")
# A query has text; float() would also take "nan", "1_0" and digits of other scripts.
_DECIMAL: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`eot`, `eager`: confidence that ends a turn, and that announces its end; `timeout_ms`: silence that ends it.

    `eager` None: no EagerEndOfTurn. `eot` 1.0: only the timeout ends a turn.
    """

    eot: float = 0.7
    eager: float | None = None
    timeout_ms: int = 5000

    def changed(self, given: Mapping[str, Any]) -> "Thresholds":
        """With the values that are given by their names of the wire; None for one that stays. Raises ValueError."""
        unknown = [name for name in given if name not in NAMES]
        if unknown:
            raise ValueError(f"{unknown[0]:.40}: no such threshold; allowed: {', '.join(NAMES)}.")
        found = self
        if (eot := _number(given, "eot_threshold", *EOT)) is not None:
            found = replace(found, eot=eot)
        if (eager := _number(given, "eager_eot_threshold", *EAGER_EOT)) is not None:
            found = replace(found, eager=eager)
        if (timeout := _number(given, "eot_timeout_ms", *TIMEOUT_MS)) is not None:
            if timeout != int(timeout):
                raise _wrong("eot_timeout_ms", given, "a whole number", *TIMEOUT_MS)
            found = replace(found, timeout_ms=int(timeout))
        if found.eager is not None and found.eager > found.eot:
            raise ValueError(
                f"eager_eot_threshold: got {found.eager:g} with eot_threshold {found.eot:g}; allowed: not above it."
            )
        return found

    def to_wire(self) -> dict[str, float | int]:
        """As the wire names them; a threshold that is not set is left out."""
        eager = {} if self.eager is None else {"eager_eot_threshold": self.eager}
        return {"eot_threshold": self.eot, **eager, "eot_timeout_ms": self.timeout_ms}


def _number(given: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    got = given.get(name)
    if got is None or got == "":
        return None
    if isinstance(got, str) and _DECIMAL.fullmatch(got):
        got = float(got)
    if not isinstance(got, int | float) or isinstance(got, bool) or not low <= got <= high:
        raise _wrong(name, given, "a number", low, high)
    return float(got)


def _wrong(name: str, given: Mapping[str, Any], what: str, low: float, high: float) -> ValueError:
    return ValueError(f"{name}: got {str(given[name])[:40]!r}; allowed: {what} from {low:g} to {high:g}.")
