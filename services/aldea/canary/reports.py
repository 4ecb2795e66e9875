"""What a run of the canary was, and its report to the Platform API, whose status page is made of them."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import structlog

log = structlog.get_logger("aldea.canary")

STREAM: Final = "stream"
UPLOAD: Final = "upload"
USAGE: Final = "usage"

# Runs that wait while the platform cannot be reached: a day of one a minute. The oldest go first.
MOST_WAITING: Final = 1440
# Of one report, as the API takes them.
MOST_OF_ONE: Final = 100
_DEADLINE: Final = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried. `figures`: by name, in seconds unless the name says otherwise."""

    name: str
    ok: bool
    said: str
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole run; it is good if every step was."""

    ok: bool
    seconds: float
    steps: tuple[Step, ...]


def as_run(outcome: Outcome, began_ms: int) -> dict[str, Any]:
    """A run as the API takes it. `began_ms`: Unix milliseconds. What was not tried is absent.

    A run that did not end failed in everything that it could have shown.
    """
    steps: Mapping[str, Step] = {step.name: step for step in outcome.steps}
    run: dict[str, Any] = {"began_ms": began_ms}
    if not steps.keys() & {STREAM, UPLOAD, USAGE}:
        return {**run, STREAM: False, UPLOAD: False}
    run |= {name: step.ok for name, step in steps.items()}
    if not any(steps[name].ok for name in (STREAM, UPLOAD) if name in steps):
        # There was nothing to bill.
        run.pop(USAGE, None)
    figures = {
        "first_words_ms": (STREAM, "first_words"),
        "last_words_ms": (STREAM, "last_words"),
        "usage_lag_ms": (USAGE, "lag"),
    }
    for name, (step, figure) in figures.items():
        if step in run and figure in steps[step].figures:
            run[name] = round(1000 * steps[step].figures[figure])
    return run


class Reports:
    """Sends runs to the Platform API; what cannot be sent now is sent with the next one."""

    def __init__(self, url: str, key: str) -> None:
        """`key`: of a project that an operator of the platform owns."""
        self._url = f"{url}/v1/status/runs"
        self._key = key
        self.waiting: deque[dict[str, Any]] = deque(maxlen=MOST_WAITING)

    async def send(self, run: Mapping[str, Any]) -> None:
        """Report a run and those that wait. Never raises for what the platform does."""
        self.waiting.append(dict(run))
        headers = {"Authorization": f"Token {self._key}"}
        try:
            async with aiohttp.ClientSession(headers=headers, timeout=_DEADLINE) as session:
                while self.waiting:
                    part = list(self.waiting)[:MOST_OF_ONE]
                    async with session.post(self._url, json={"runs": part}) as response:
                        if response.status == 429 or response.status >= 500:
                            log.warning("runs not reported yet", status=response.status, waiting=len(self.waiting))
                            return
                        if response.status >= 400:
                            # They will not be taken later either; docs/operations.md says whose key it has to be.
                            said = (await response.text())[:300]
                            log.warning("runs refused", status=response.status, response=said, runs=len(part))
                    for _ in part:
                        self.waiting.popleft()
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            reason = f"{type(error).__name__}: {error}"
            log.warning("runs not reported yet", error=reason, waiting=len(self.waiting))
