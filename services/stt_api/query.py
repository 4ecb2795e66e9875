"""What a caller requests in the query string: the parameters that this STT server uses, checked.

What it cannot do is `stt_api.features`.
"""

from collections.abc import Mapping
from typing import Any, Final

from aldea.errors import BadRequest
from aldea.raw_audio import SAMPLE_BYTES, raw_encoding
from stt_api.options import DEFAULT_ENDPOINTING_MS, DEFAULT_SAMPLE_RATE, MAX_CHANNELS, ListenOptions

# Names of containers and codecs that announce themselves in their first bytes: given or not, they are recognised.
SELF_DESCRIBING: Final = frozenset(
    {
        *(
            "mp3",
            "mp2",
            "mpeg",
            "mpga",
            "aac",
            "adts",
            "flac",
            "wav",
            "wave",
            "ogg",
            "oga",
            "ogg-opus",
            "opus",
            "vorbis",
        ),
        *("webm", "webm-opus", "matroska", "mka", "m4a", "mp4", "mov", "alac", "3gp", "amr", "amr-nb", "amr-wb"),
        *("aiff", "aif", "caf", "ts", "mpegts"),
    }
)
# Codecs whose streams can be taken up in the middle once they are known by name.
_CODECS: Final = {"mp3": "mp3", "mp2": "mp3", "mpeg": "mp3", "mpga": "mp3", "aac": "aac", "adts": "aac"}
SAMPLE_RATES: Final = (8_000, 192_000)
UTTERANCE_END_MS: Final = (1_000, 5_000)
MAX_ENDPOINTING_MS: Final = 10_000

_TRUE: Final = frozenset({"true", "1"})
_FALSE: Final = frozenset({"false", "0"})


def parse(query: Mapping[str, str], *, raw_only: bool = False) -> ListenOptions:
    """Read a query string. `raw_only`: the address takes raw PCM alone. Raises BadRequest, naming the parameter."""
    encoding = _encoding(query, raw_only=raw_only)
    multichannel = flag(query, "multichannel")
    # A container says itself how many channels it has; without parameters, two places are kept for it.
    default_channels = 2 if multichannel and encoding is None else 1
    return ListenOptions(
        encoding=encoding,
        codec=None if encoding is not None else _CODECS.get(_named(query)),
        sample_rate=_integer(query, "sample_rate", DEFAULT_SAMPLE_RATE, *SAMPLE_RATES),
        channels=_integer(query, "channels", default_channels, 1, MAX_CHANNELS),
        multichannel=multichannel,
        interim_results=flag(query, "interim_results"),
        endpointing_ms=_endpointing(query),
        utterance_end_ms=_utterance_end(query),
        vad_events=flag(query, "vad_events"),
        punctuate=flag(query, "punctuate") or flag(query, "smart_format"),
    )


def _named(query: Mapping[str, str]) -> str:
    # The three names are in use for the same thing.
    return next((query[name] for name in ("encoding", "format", "codec") if query.get(name)), "").strip().lower()


def may_be_packets(query: Mapping[str, str]) -> bool:
    """Whether a live stream's messages may be Opus packets without a container."""
    return _named(query) == "opus"


def _encoding(query: Mapping[str, str], *, raw_only: bool) -> str | None:
    got = _named(query)
    encoding = raw_encoding(got)
    if raw_only:
        if got and encoding != "linear16":
            raise BadRequest(f"encoding: got {got!r:.40}; this address takes linear16 only, use /v1/listen for others.")
        return "linear16"
    if encoding is not None:
        return encoding
    if got in SELF_DESCRIBING:
        return None
    if got:
        allowed = ", ".join([*SAMPLE_BYTES, *sorted(SELF_DESCRIBING)])
        raise BadRequest(f"encoding: got {got!r:.40}, allowed: {allowed}; leave it out for audio in a container.")
    # A sample rate without an encoding can only mean raw samples: every container carries its own.
    return "linear16" if query.get("sample_rate") else None


def _endpointing(query: Mapping[str, str]) -> int | None:
    got = query.get("endpointing", "").lower()
    if got in {"", "true"}:
        return DEFAULT_ENDPOINTING_MS
    if got == "false":
        return None
    return _integer(query, "endpointing", DEFAULT_ENDPOINTING_MS, 0, MAX_ENDPOINTING_MS, also="true, false or ")


def _utterance_end(query: Mapping[str, str]) -> int | None:
    if query.get("utterance_end_ms", "").lower() in {"", "false"}:
        return None
    return _integer(query, "utterance_end_ms", 0, *UTTERANCE_END_MS)


def flag(query: Mapping[str, str], name: str) -> bool:
    """A parameter that is true or false, false if it is not there. Raises BadRequest."""
    got = query.get(name, "").lower()
    if got in _TRUE:
        return True
    if got in _FALSE or not got:
        return False
    raise BadRequest(f"{name}: got {query[name]!r:.40}, allowed: true or false.")


def _integer(query: Mapping[str, Any], name: str, default: int, low: int, high: int, *, also: str = "") -> int:
    got = query.get(name, "")
    if not got:
        return default
    # Digits alone: int() would also take "1_0", " 8 " and digits of other scripts.
    if not (got.isascii() and got.isdigit() and len(got) <= 9 and low <= int(got) <= high):
        raise BadRequest(f"{name}: got {got!r:.40}, allowed: {also}a whole number from {low} to {high}.")
    return int(got)
