"""What usage is narrowed down to, and the where clause of that. Pure."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from backend.usage.period import Period

# A stream that was closed for one of these did not end well: protocol errors and unusable data (RFC 6455 section
# 7.4.1), undecodable audio or a revoked key (1008), a message too big, an STT server that failed (1011). The index
# usage_requests_failed has the same condition.
FAILED: Final = "(status >= 400 or coalesce(close_code, 0) in (1002, 1003, 1007, 1008, 1009, 1011))"

Outcome = Literal["succeeded", "failed", "incomplete", "open"]
_OUTCOMES: Final[dict[Outcome, str]] = {
    "succeeded": f"rank = 2 and not {FAILED}",
    "failed": FAILED,
    "incomplete": "rank = 1",
    "open": "rank = 0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What usage is narrowed down to; None: not by this. `endpoints`: any of them.

    `least_ms`, `most_ms`: of billed audio. `with_any`, `without`: features. `nothing`: to what cannot be here.
    """

    key_id: str | None = None
    tag: str | None = None
    endpoints: tuple[str, ...] | None = None
    service: str | None = None
    outcome: Outcome | None = None
    least_ms: int | None = None
    most_ms: int | None = None
    request_id: str | None = None
    ended: bool = False
    model: str | None = None
    with_any: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    asynchronous: bool = False
    nothing: bool = False

    @property
    def of_requests_only(self) -> bool:
        """Whether they need something that the daily rollups do not hold."""
        given = (
            self.tag, self.outcome, self.least_ms, self.most_ms, self.request_id, self.model, self.with_any or None,
            self.without or None,
        )  # fmt: skip
        return self.asynchronous or any(found is not None for found in given)


class Conditions:
    """A where clause that is put together from fixed texts, and its arguments."""

    def __init__(self, project_id: str) -> None:
        self.arguments: list[Any] = []
        self.texts: list[str] = []
        self.add("project_id = {}", project_id)

    def add(self, text: str, *values: Any) -> None:
        """One more condition; `{}` in its text are the places of the values."""
        places = []
        for value in values:
            self.arguments.append(value)
            places.append(f"${len(self.arguments)}")
        self.texts.append(text.format(*places))

    def filter(self, filters: Filters) -> None:
        """What a caller narrows usage down to."""
        if filters.key_id is not None:
            self.add("key_id = {}", filters.key_id)
        if filters.endpoints is not None:
            self.add("endpoint = any({})", list(filters.endpoints))
        if filters.service is not None:
            self.add("service = {}", filters.service)
        if filters.tag is not None:
            # The index on tags leaves out requests without any; said again, so that the planner sees that it fits.
            self.add("tags @> array[{}::text] and tags <> '{{}}'", filters.tag)
        if filters.outcome is not None:
            self.add(_OUTCOMES[filters.outcome])
        if filters.least_ms is not None:
            self.add("audio_ms >= {}", filters.least_ms)
        if filters.most_ms is not None:
            self.add("audio_ms <= {}", filters.most_ms)
        if filters.model is not None:
            self.add("model = {}", filters.model)
        if filters.with_any:
            self.add("features && {}::text[]", list(filters.with_any))
        if filters.without:
            self.add("not features && {}::text[]", list(filters.without))
        if filters.asynchronous:
            self.add("features @> array['callback']")
        if filters.nothing:
            self.add("false")
        if filters.ended:
            self.add("rank > 0")
        if filters.request_id is not None:
            self.add("request_id = {}", filters.request_id)

    def within(self, period: Period) -> None:
        """Only requests of this period."""
        # `day` follows from `started_ms`; it is what partitions are chosen by.
        self.add("day between {} and {}", period.first_day, period.last_day)
        self.add("started_ms >= {} and started_ms < {}", period.start_ms, period.end_ms)

    def __str__(self) -> str:
        return " and ".join(self.texts)
