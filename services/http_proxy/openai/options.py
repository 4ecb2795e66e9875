"""What the form requests of its response, checked. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aldea.errors import BadRequest
from aldea.openai_wire import check_language

FORMATS: Final = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES: Final = ("word", "segment")


@dataclass(frozen=True, slots=True)
class Options:
    """How the transcript is written. `words`, `segments`: whether verbose_json lists them."""

    response_format: str
    stream: bool
    words: bool
    segments: bool


def read_options(fields: Mapping[str, Sequence[str]]) -> Options:
    """The options of a form's fields; what is unknown is ignored. Raises BadRequest, naming the field."""
    response_format = _one(fields, "response_format") or "json"
    if response_format not in FORMATS:
        raise BadRequest(f"response_format: got {response_format!r:.40}; allowed: {', '.join(FORMATS)}.")
    _check_temperature(_one(fields, "temperature"))
    check_language(_one(fields, "language"))
    granularities = [
        *fields.get("timestamp_granularities[]", ()), *fields.get("timestamp_granularities", ()),
    ]  # fmt: skip
    for got in granularities:
        if got not in GRANULARITIES:
            raise BadRequest(f"timestamp_granularities[]: got {got!r:.40}; allowed: {', '.join(GRANULARITIES)}.")
    if granularities and response_format != "verbose_json":
        raise BadRequest(
            f"timestamp_granularities[]: got some with response_format={response_format}; allowed: with verbose_json."
        )
    stream = _flag(_one(fields, "stream"))
    if stream and response_format not in {"json", "text"}:
        raise BadRequest(f"stream: got true with response_format={response_format}; allowed: with json or text.")
    return Options(
        response_format=response_format,
        stream=stream,
        words="word" in granularities,
        segments="segment" in granularities or not granularities,
    )


def _one(fields: Mapping[str, Sequence[str]], name: str) -> str:
    """The last value of a field, "" if there is none."""
    return fields[name][-1].strip() if fields.get(name) else ""


def _flag(got: str) -> bool:
    if got.lower() in {"true", "1"}:
        return True
    if got.lower() in {"", "false", "0"}:
        return False
    raise BadRequest(f"stream: got {got!r:.40}; allowed: true or false.")


def _check_temperature(got: str) -> None:
    try:
        value = float(got or "0")
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise BadRequest(f"temperature: got {got!r:.40}; allowed: a number from 0 to 1. Recognition does not use it.")
