"""What travels on the usage queue: many readings in one message, and what a dead letter looks like.

A message's body is JSON: `{"v": 1, "written_ms": [t, …], "readings": [reading, …]}`. `written_ms[i]` is when
`readings[i]` was written to the Redis stream, Unix milliseconds; where several readings of a request were coalesced
into one it is the oldest one's time. A reading is what `UsageReading.to_json` wrote.

A dead letter's body is JSON: `{"v": 1, "reason", "source", "at_ms", "reading": <the rejected text>}`. SQS itself moves
a message that was received too often to the same queue, unchanged; both kinds can be replayed.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aldea.usage.reading import InvalidReading, UsageReading
from aldea.usage.validation import well_formed

VERSION: Final = 1
# SQS bills per 64 KiB of a message; the largest reading that can be written is smaller than this.
MAX_BODY_BYTES: Final = 60_000
# A rejected text longer than this is cut in its dead letter, which says so. A whole body fits, and so does a text of
# nothing but escapes: a message may have 256 KiB.
MAX_REJECTED_CHARS: Final = 62_000
MAX_DEAD_LETTER_BYTES: Final = 240_000


@dataclass(frozen=True, slots=True)
class Stamped:
    """A reading and when it was written, Unix milliseconds (0: unknown)."""

    reading: UsageReading
    written_ms: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """A text that is no reading, and why."""

    text: str
    reason: str


def encode(readings: Sequence[str], written_ms: Iterable[int]) -> str:
    """A message's body from readings that are JSON texts already."""
    stamps = ",".join(map(str, written_ms))
    body = ",".join(readings)
    # SQS refuses these two characters, which JSON allows in a string: they travel as escapes.
    if "\ufffe" in body or "\uffff" in body:
        body = body.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
    return f'{{"v":{VERSION},"written_ms":[{stamps}],"readings":[{body}]}}'


def encoded_size(reading: str) -> int:
    """How many bytes a reading adds to a body, at most: itself, its comma, its time and that one's comma."""
    if reading.isascii():
        return len(reading) + _STAMP_BYTES + 2
    return len(reading.encode()) + 3 * (reading.count("\ufffe") + reading.count("\uffff")) + _STAMP_BYTES + 2


_STAMP_BYTES: Final = 13  # Unix milliseconds until the year 2286
ENVELOPE_BYTES: Final = len(encode([], []))


def decode(body: str) -> tuple[list[Stamped], list[Rejected]]:
    """The readings of a message's body, and what in it is none. A body that is unreadable as a whole is one reject."""
    if (found := well_formed(body, VERSION)) is not None:
        written_ms, readings = found
        stamps = _stamps(written_ms, len(readings))
        return [Stamped(reading, stamp) for reading, stamp in zip(readings, stamps, strict=True)], []
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError) as error:
        return [], [Rejected(body, f"message body is not JSON: {error}")]
    if not isinstance(raw, dict) or not isinstance(raw.get("readings"), list):
        return [], [Rejected(body, 'message body: allowed is {"v": 1, "written_ms": […], "readings": […]}')]
    if raw.get("v") != VERSION:
        return [], [Rejected(body, f"message body: got version {raw.get('v')!r:.20}, allowed: {VERSION}")]
    stamps = _stamps(raw.get("written_ms"), len(raw["readings"]))
    good: list[Stamped] = []
    bad: list[Rejected] = []
    for item, stamp in zip(raw["readings"], stamps, strict=True):
        try:
            good.append(Stamped(UsageReading.from_object(item), stamp))
        except InvalidReading as error:
            bad.append(Rejected(json.dumps(item), str(error)))
    return good, bad


def _stamps(raw: Any, count: int) -> list[int]:
    # The times serve a metric only: odd ones never cost a reading.
    if not isinstance(raw, list) or len(raw) != count:
        return [0] * count
    return [stamp if isinstance(stamp, int) else 0 for stamp in raw]


def dead_letter(rejected: Rejected, *, source: str, at_ms: int) -> str:
    """The body of a dead letter, plain ASCII; a text that is too long is cut, and then the reason says so."""

    def body(chars: int) -> str:
        reason = rejected.reason[:1000]
        if len(rejected.text) > chars:
            reason += f" (text cut from {len(rejected.text)} characters)"
        text = rejected.text[:chars]
        return json.dumps({"v": VERSION, "reason": reason, "source": source, "at_ms": at_ms, "reading": text})

    whole = body(MAX_REJECTED_CHARS)
    # An escape is at most 13 bytes: a character beyond U+FFFF, whose two backslashes need none of their own here.
    return whole if len(whole) <= MAX_DEAD_LETTER_BYTES else body(MAX_DEAD_LETTER_BYTES // 14)


@dataclass(frozen=True, slots=True)
class Opened:
    """A message of the dead-letter queue, as it reads now.

    `explained`: it is one of our own dead letters, which carries its reason; a message that SQS moved has none.
    """

    good: list[Stamped]
    bad: list[Rejected]
    explained: bool


def open_dead_letter(body: str) -> Opened:
    """What a message of the dead-letter queue holds: a rejected text, or a whole message that SQS moved there."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict) or not isinstance(raw.get("reading"), str):
        return Opened(*decode(body), explained=False)
    text = raw["reading"]
    try:
        return Opened([Stamped(UsageReading.from_json(text), 0)], [], explained=True)
    except InvalidReading as error:
        good, bad = decode(text)
        return Opened(good, bad if good else [Rejected(text, str(error))], explained=True)
