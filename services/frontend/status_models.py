"""What the Platform API says of its status and of incidents, as far as the console shows it."""

from frontend.models import Model


class StatusDay(Model):
    """A UTC day of a part of the platform. `good`: the part of its checks that were; None: no data."""

    day: str
    runs: int
    good: float | None


class StatusComponent(Model):
    """A part of the platform, now and on each of the last days, the oldest first."""

    component: str
    title: str
    state: str
    runs: int
    good: float | None
    days: list[StatusDay]


class StatusObjective(Model):
    """A promise and what was measured; None: no data."""

    title: str
    promise: str
    target: float
    measured: float | None


class IncidentUpdate(Model):
    """What was known of an incident at a time."""

    at: str
    state: str
    message: str


class Incident(Model):
    """An incident, its newest update first. `resolved`: None while it goes on."""

    incident_id: str
    title: str
    impact: str
    components: list[str]
    began: str
    resolved: str | None
    updates: list[IncidentUpdate]


class Incidents(Model):
    """The newest incidents, the open ones first."""

    incidents: list[Incident]


class Status(Model):
    """How the platform is."""

    state: str
    at: str
    components: list[StatusComponent]
    objectives: list[StatusObjective]
    incidents: list[Incident]
