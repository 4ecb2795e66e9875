"""A batch reduced to one reading per request, in the order in which all writers lock rows. No I/O."""

from collections.abc import Iterable

from aldea.usage.envelope import Stamped
from aldea.usage.reading import UsageReading


def reduce_batch(batch: Iterable[Stamped]) -> list[UsageReading]:
    """The greatest reading of each request, sorted by request id.

    Sorted, because two writers that lock the same rows in different orders deadlock; reduced, because one statement
    may not change a row twice (PostgreSQL: "ON CONFLICT DO UPDATE command cannot affect row a second time").
    """
    kept: dict[str, UsageReading] = {}
    for item in batch:
        known = kept.get(item.reading.request_id)
        if known is None or item.reading.order > known.order:
            kept[item.reading.request_id] = item.reading
    return [kept[request_id] for request_id in sorted(kept)]
