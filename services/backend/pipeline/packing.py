"""From stream entries to queue messages: coalesce per request, pack into bodies, bodies into calls. No I/O."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from aldea.sqs import call_ranges
from aldea.tracing.context import RECORDED
from aldea.usage.envelope import ENVELOPE_BYTES, MAX_BODY_BYTES, Rejected, encode, encoded_size
from aldea.usage.reading import InvalidReading, Order, UsageReading, identify

# As `UsageReading.to_json` writes it. In a client's text the quotes would have a backslash.
_TRACEPARENT: Final = re.compile(rf'"traceparent":"({RECORDED})"')


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the usage stream; `value` is its reading field, None where it has no such field."""

    entry_id: bytes
    value: bytes | None

    @property
    def written_ms(self) -> int:
        """When Redis took it: the first half of the entry's id, Unix milliseconds."""
        return int(self.entry_id.partition(b"-")[0])


@dataclass(slots=True)
class Kept:
    """The reading of a request that is kept, the bytes that it takes in a message, and every entry that it covers."""

    order: Order
    text: str
    size: int
    written_ms: int
    entry_ids: list[bytes]


@dataclass(frozen=True, slots=True)
class Batch:
    """One message to send, and the entries that are done once it was accepted."""

    items: tuple[Kept, ...]
    size: int

    @property
    def body(self) -> str:
        """The message's body."""
        return encode([item.text for item in self.items], [item.written_ms for item in self.items])

    @property
    def entry_ids(self) -> list[bytes]:
        """Every entry that its readings cover."""
        return [entry_id for item in self.items for entry_id in item.entry_ids]


class Coalescer:
    """Keeps the greatest reading of each request with all entry ids it covers; names the entries that are no readings.

    Only whose a reading is and which one is looked at here: sqs_updater checks it whole, and sets a bad one apart.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.rejected: list[tuple[list[bytes], Rejected]] = []

    def add(self, entry: Entry) -> None:
        """Take one more entry into account."""
        try:
            text = _text(entry)
            request_id, order = identify(text)
            known = self.kept.get(request_id)
            if known is None:
                size = encoded_size(text)
                if size > _ROOM:
                    text, size = _shortened(text)
                self.kept[request_id] = Kept(order, text, size, entry.written_ms, [entry.entry_id])
                return
            if order > known.order:
                size = encoded_size(text)
                if size > _ROOM:
                    text, size = _shortened(text)
                known.order, known.text, known.size = order, text, size
        except InvalidReading as error:
            shown = (entry.value or b"").decode(errors="backslashreplace")
            self.rejected.append(([entry.entry_id], Rejected(shown, str(error))))
            return
        known.entry_ids.append(entry.entry_id)
        known.written_ms = min(known.written_ms, entry.written_ms)


def coalesce(entries: Iterable[Entry]) -> tuple[dict[str, Kept], list[tuple[list[bytes], Rejected]]]:
    """The result of a Coalescer for all `entries`, in one step."""
    coalescer = Coalescer()
    for entry in entries:
        coalescer.add(entry)
    return coalescer.kept, coalescer.rejected


def _text(entry: Entry) -> str:
    if entry.value is None:
        raise InvalidReading("the stream entry has no reading field")
    try:
        return entry.value.decode()
    except UnicodeDecodeError as error:
        raise InvalidReading(f"not UTF-8: {error}") from None


def _shortened(text: str) -> tuple[str, int]:
    """A reading too large for a message, without the fields that this version does not know; what it knows fits."""
    text = UsageReading.from_json(text).to_json()
    return text, encoded_size(text)


_ROOM: Final = MAX_BODY_BYTES - ENVELOPE_BYTES


def pack(kept: Iterable[Kept]) -> list[Batch]:
    """Fill messages up to the size that SQS bills as one request."""
    batches: list[Batch] = []
    items: list[Kept] = []
    size = ENVELOPE_BYTES
    for item in kept:
        if items and size + item.size > MAX_BODY_BYTES:
            batches.append(Batch(tuple(items), size))
            items, size = [], ENVELOPE_BYTES
        items.append(item)
        size += item.size
    if items:
        batches.append(Batch(tuple(items), size))
    return batches


def traces(batches: Iterable[Batch]) -> Iterator[str]:
    """The traceparent of each reading that is of a recorded trace."""
    for batch in batches:
        for item in batch.items:
            if (found := _TRACEPARENT.search(item.text)) is not None:
                yield found[1]


def split(batch: Batch) -> list[Batch]:
    """Each reading in a message of its own."""
    return [Batch((item,), ENVELOPE_BYTES + item.size) for item in batch.items]


def calls(batches: Sequence[Batch]) -> list[list[Batch]]:
    """Group messages into calls, within the bounds of a call."""
    return [[batches[index] for index in call] for call in call_ranges([batch.size for batch in batches])]
