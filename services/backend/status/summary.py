"""What the status page says, from rows: pure arithmetic."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Final

from aldea.objectives import FINAL_LAG, FIRST_WORDS, HANDSHAKES, OBJECTIVES, USAGE_LAG
from backend.status import models
from backend.status.repository import DayRow, UpdateRow

DAYS: Final = 90
# In how many minutes a canary that works has reported several times.
RECENT: Final = timedelta(minutes=10)
# One bad run among good ones is in its day's figure; this many are a state.
BAD_RUNS: Final = 2

TITLES: Final[Mapping[models.Component, str]] = {
    "stream": "Live streams",
    "upload": "Recorded audio",
    "usage": "Usage and billing",
}
# Where the platform's own title of an objective speaks of its parts.
_PUBLIC_TITLES: Final = {USAGE_LAG.name: "Usage, from a response to its row in the console"}
# What customers notice, the worst last.
_WORSE: Final[Sequence[models.Health]] = ("operational", "unknown", "maintenance", "degraded", "down")
_OF_IMPACT: Final[Mapping[models.Impact, models.Health]] = {
    "maintenance": "maintenance",
    "minor": "degraded",
    "major": "down",
}
# The columns that an objective is measured by: events, and good ones. A stream of the canary that failed, for whatever
# reason, counts as one that was not accepted.
_MEASURED: Final = {
    HANDSHAKES.name: ("stream", "stream_good"),
    FIRST_WORDS.name: ("first_words_measured", "first_words_in_time"),
    FINAL_LAG.name: ("last_words_measured", "last_words_in_time"),
    USAGE_LAG.name: ("usage_lag_measured", "usage_lag_in_time"),
}


def first_day(now: datetime) -> datetime:
    """Where the first day begins that is shown."""
    return datetime.combine(now.astimezone(UTC).date() - timedelta(days=DAYS - 1), datetime.min.time(), UTC)


def status(now: datetime, rows: Sequence[DayRow], incidents: Sequence[models.Incident]) -> models.Status:
    """The whole page. `rows`: of the last days, in any order; days without a row have no data."""
    by_day = {row.day: row for row in rows}
    first = first_day(now).date()
    days = [first + timedelta(days=at) for at in range(DAYS)]
    components = [_component(component, days, by_day, incidents) for component in TITLES]
    return models.Status(
        state=worst(component.state for component in components),
        at=now,
        components=components,
        objectives=[_objective(objective.name, rows) for objective in OBJECTIVES],
        incidents=list(incidents),
    )


def measured(rows: Sequence[DayRow]) -> dict[str, float]:
    """By objective the part of its events that was good; those without events are absent."""
    found = {objective.name: _objective(objective.name, rows).measured for objective in OBJECTIVES}
    return {name: share for name, share in found.items() if share is not None}


def as_incidents(rows: Iterable[UpdateRow]) -> list[models.Incident]:
    """Incidents of the rows of their updates, in the rows' order."""
    return [
        models.Incident(
            incident_id=incident_id,
            title=of_one[0].title,
            impact=of_one[0].impact,
            components=of_one[0].components,
            began=of_one[0].began,
            resolved=of_one[0].resolved,
            updates=[models.IncidentUpdate(at=row.at, state=row.state, message=row.message) for row in of_one],
        )
        for incident_id, of_one in ((found, list(group)) for found, group in groupby(rows, lambda row: row.incident_id))
    ]


def worst(states: Iterable[models.Health]) -> models.Health:
    """The state that customers have to know of first."""
    return max(states, key=_WORSE.index)


def _component(
    component: models.Component,
    days: Sequence[date],
    by_day: Mapping[date, DayRow],
    incidents: Sequence[models.Incident],
) -> models.ComponentStatus:
    counted = [_counts(by_day.get(day), component, f"{component}_good") for day in days]
    runs, good = sum(runs for runs, _ in counted), sum(good for _, good in counted)
    recent = [_counts(row, f"{component}_now", f"{component}_good_now") for row in by_day.values()]
    seen = _state(sum(runs for runs, _ in recent), sum(good for _, good in recent))
    said = [_OF_IMPACT[one.impact] for one in incidents if one.resolved is None and component in one.components]
    return models.ComponentStatus(
        component=component,
        title=TITLES[component],
        state=worst([seen, *said]),
        runs=runs,
        good=_share(good, runs),
        days=[
            models.Day(day=day, runs=runs, good=_share(good, runs))
            for day, (runs, good) in zip(days, counted, strict=True)
        ],
    )


def _state(runs: int, good: int) -> models.Health:
    if runs == 0:
        return "unknown"
    if good == 0:
        return "down"
    return "degraded" if runs - good >= BAD_RUNS else "operational"


def _objective(name: str, rows: Iterable[DayRow]) -> models.ObjectiveStatus:
    [objective] = [one for one in OBJECTIVES if one.name == name]
    counted = [_counts(row, *_MEASURED[name]) for row in rows]
    events, good = sum(events for events, _ in counted), sum(good for _, good in counted)
    return models.ObjectiveStatus(
        objective=name,
        title=_PUBLIC_TITLES.get(name, objective.title),
        promise=objective.promise,
        target=objective.target,
        seconds=objective.seconds,
        measured=_share(good, events),
        events=events,
    )


def _counts(row: DayRow | None, runs: str, good: str) -> tuple[int, int]:
    return (0, 0) if row is None else (getattr(row, runs), getattr(row, good))


def _share(good: int, runs: int) -> float | None:
    return good / runs if runs else None
