"""UsageReading: a whole snapshot of one request's usage; what proxies write, backend forwards, sqs_updater stores.

A reading replaces the stored one iff its `order` is greater, so duplicates, reordering and lost checkpoints cannot
change a bill. Fields fixed at admission are repeated unchanged in every reading of a request.
"""

import json
import re
from dataclasses import dataclass, field
from enum import IntEnum
from json.encoder import encode_basestring
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from aldea.tracing.context import is_recorded


class Rank(IntEnum):
    """How conclusive a reading is: the request runs, was closed from its last checkpoint, or has ended."""

    OPEN = 0
    INCOMPLETE = 1
    FINAL = 2


Order: TypeAlias = tuple[bool, int, int]
Service = Literal["streaming", "prerecorded"]
AudioSource = Literal["stt", "pcm"]

# Bounds of the integer fields: PostgreSQL's bigint, with room for sums over a month of requests.
MAX_COUNT: Final = 1 << 53
MAX_TEXT: Final = 512
MAX_TAGS: Final = 16
# More than there are (aldea.usage.features), for those of a newer writer.
MAX_FEATURES: Final = 64


# A text as JSON has it; an encoder would be made anew for each.
quoted: Final = encode_basestring


class InvalidReading(ValueError):
    """A text that is no reading; the message says which field and why."""


@dataclass(unsafe_hash=True, slots=True, kw_only=True)  # frozen ones take several times as long to make
class UsageReading:
    """One snapshot. Times in milliseconds, sizes in bytes.

    `audio_ms` is billed audio: duration times channels. `audio_source`: `stt` if the STT server reported it, `pcm`
    if it was counted from raw audio bytes (0 until something is known). `status`: the HTTP status the client got
    (101 for a stream). `close_code`: the WebSocket close code sent to the client, None while open and on HTTP.
    `model`, `features`: what the request named in its query (aldea.usage.features); readings of before have neither.
    `failovers`: how often another STT server took the stream over. `first_word_ms`: from a stream's first audio to its
    first words; None without any, and of recorded audio. `traceparent`: where the request is in its trace, if that is
    recorded (aldea.tracing), else "".
    """

    request_id: str
    started_ms: int
    project_id: str
    key_id: str
    service: Service
    lane: str
    path: str
    tags: tuple[str, ...] = field(default=())
    rank: Rank
    seq: int
    audio_ms: int = 0
    audio_source: AudioSource = "pcm"
    channels: int = 1
    connection_ms: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    status: int = 0
    close_code: int | None = None
    model: str = ""
    features: tuple[str, ...] = field(default=())
    failovers: int = 0
    first_word_ms: int | None = None
    traceparent: str = ""

    @property
    def order(self) -> "Order":
        """What decides which of two readings of a request is kept: the greater.

        A final one beats all others. Among those, what was measured later wins; at the same `seq` the one that closes
        the request does. So a checkpoint of a request that was given up too early opens it again.
        """
        return (self.rank == Rank.FINAL, self.seq, self.rank)

    def to_json(self) -> str:
        """Compact JSON, one object."""
        # Written out: an encoder takes several times as long, and this is done for every request and checkpoint.
        return (
            f'{{"request_id":{quoted(self.request_id)},"started_ms":{self.started_ms},'
            f'"project_id":{quoted(self.project_id)},"key_id":{quoted(self.key_id)},'
            f'"service":{quoted(self.service)},"lane":{quoted(self.lane)},"path":{quoted(self.path)},'
            f'"tags":[{",".join(map(quoted, self.tags))}],"rank":{int(self.rank)},"seq":{self.seq},'
            f'"audio_ms":{self.audio_ms},"audio_source":{quoted(self.audio_source)},"channels":{self.channels},'
            f'"connection_ms":{self.connection_ms},"bytes_in":{self.bytes_in},"bytes_out":{self.bytes_out},'
            f'"status":{self.status},"close_code":{"null" if self.close_code is None else self.close_code},'
            f'"model":{quoted(self.model)},"features":[{",".join(map(quoted, self.features))}],'
            f'"failovers":{self.failovers},'
            f'"first_word_ms":{"null" if self.first_word_ms is None else self.first_word_ms}'
            f"{trace_member(self.traceparent)}}}"
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> "UsageReading":
        """Parse and check what `to_json` wrote. Unknown fields are ignored (a newer writer). Raises InvalidReading."""
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:  # the latter from a text of nothing but brackets
            raise InvalidReading(f"not JSON: {error}") from None
        return cls.from_object(raw)

    @classmethod
    def from_object(cls, raw: Any) -> "UsageReading":
        """The same from an already decoded JSON value. Raises InvalidReading."""
        if not isinstance(raw, dict):
            raise InvalidReading(f"got {type(raw).__name__}, a reading is a JSON object")
        values = {name: check(name, raw[name]) for name, check in _CHECKS.items() if name in raw}
        try:
            return cls(**values)
        except TypeError as error:
            raise InvalidReading(str(error).replace("UsageReading.__init__() ", "")) from None


def trace_member(traceparent: str) -> str:
    """The JSON member of a reading, with its comma: most are of no trace, and every byte is paid for at SQS."""
    return f',"traceparent":"{traceparent}"' if traceparent else ""


def identify(text: str) -> tuple[str, Order]:
    """Whose reading a text is, and its `order`, without a look at the rest. Raises InvalidReading.

    For code that only forwards readings: a third of the work of parsing one. The code that stores it checks it whole.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidReading(f"not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise InvalidReading(f"got {type(raw).__name__}, a reading is a JSON object")
    request_id = _uuid("request_id", raw.get("request_id"))
    rank = _rank("rank", raw.get("rank"))
    return request_id, (rank == Rank.FINAL, _count("seq", raw.get("seq")), rank)


# A UUID as it is written by everybody here; any other spelling takes the longer way.
_canonical: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


def _uuid(name: str, value: Any) -> str:
    if isinstance(value, str) and _canonical(value):
        return value
    try:
        return str(UUID(value))
    except (ValueError, TypeError, AttributeError):
        raise InvalidReading(f"{name}: got {value!r:.60}, allowed: a UUID") from None


def _count(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MAX_COUNT:
        raise InvalidReading(f"{name}: got {value!r:.60}, allowed: an integer from 0 to 2^53")
    return value


def _text(name: str, value: Any) -> str:
    # PostgreSQL's text cannot hold NUL, nor UTF-8 a lone surrogate.
    if (
        not isinstance(value, str)
        or len(value) > MAX_TEXT
        or "\0" in value
        or not (value.isascii() or _encodable(value))
    ):
        raise InvalidReading(f"{name}: got {value!r:.60}, allowed: text of at most {MAX_TEXT} characters without NUL")
    return value


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tags(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_TAGS:
        raise InvalidReading(f"{name}: got {value!r:.60}, allowed: a list of at most {MAX_TAGS} texts")
    return tuple(_text(name, tag) for tag in value)


def _features(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_FEATURES:
        raise InvalidReading(f"{name}: got {value!r:.60}, allowed: a list of at most {MAX_FEATURES} texts")
    return tuple(_text(name, feature) for feature in value)


def _rank(name: str, value: Any) -> Rank:
    if isinstance(value, bool) or value not in (0, 1, 2):
        raise InvalidReading(f"{name}: got {value!r:.60}, allowed: 0, 1 or 2")
    return Rank(value)


def _one_of(*allowed: str) -> Any:
    def check(name: str, value: Any) -> str:
        if value not in allowed:
            raise InvalidReading(f"{name}: got {value!r:.60}, allowed: {' or '.join(allowed)}")
        return str(value)

    return check


def _count_if_any(name: str, value: Any) -> int | None:
    return None if value is None else _count(name, value)


def _close_code(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1000 <= value <= 4999:
        raise InvalidReading(f"{name}: got {value!r:.60}, allowed: null or 1000 to 4999")
    return value


def _traceparent(_name: str, value: Any) -> str:
    # It serves operators only: an odd one never costs a reading.
    return str(value) if is_recorded(value) else ""


_CHECKS: Final = {
    "request_id": _uuid,
    "started_ms": _count,
    "project_id": _uuid,
    "key_id": _uuid,
    "service": _one_of("streaming", "prerecorded"),
    "lane": _text,
    "path": _text,
    "tags": _tags,
    "rank": _rank,
    "seq": _count,
    "audio_ms": _count,
    "audio_source": _one_of("stt", "pcm"),
    "channels": _count,
    "connection_ms": _count,
    "bytes_in": _count,
    "bytes_out": _count,
    "status": _count,
    "close_code": _close_code,
    "model": _text,
    "features": _features,
    "failovers": _count,
    "first_word_ms": _count_if_any,
    "traceparent": _traceparent,
}


def fitting_text(value: str) -> str:
    """`value` (a request's path) as a reading can carry it: cut, NUL and lone surrogates replaced.

    A client chooses this text; a reading that its own reader refuses would never be billed.
    """
    fitting = value[:MAX_TEXT]
    if fitting.isascii() and "\0" not in fitting:
        return fitting  # nearly always
    return fitting.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
