"""How much audio an upload will be billed at most, before it is transcribed: for its reservation. Performs no I/O.

Only what says so itself: raw audio by its query, and WAV files of plain samples by their first bytes. Everything else
is 0, which reserves nothing. What is billed never depends on the estimate, so a file that lies about itself (several
files in one, say) only has too small a reservation.
"""

import struct
from collections.abc import Iterable
from typing import Final

from aldea.numbers import whole_number
from aldea.raw_audio import SAMPLE_BYTES, raw_encoding

# Chunks of a broadcaster's (bext: 602 bytes and a history) may come before the one that says what the samples are.
HEAD_BYTES: Final = 2048
# What the STT servers take.
_RATES: Final = (4_000, 192_000)
_MAX_CHANNELS: Final = 64
_DEFAULT_RATE: Final = 16_000
# The largest samples: 64-bit floats.
_MAX_SAMPLE_BYTES: Final = 8
# Of wFormatTag: integers, floats, A-law, µ-law; others are compressed.
_PLAIN: Final = frozenset({1, 3, 6, 7})
_EXTENSIBLE: Final = 0xFFFE


def of_raw_audio(length: int, query: Iterable[tuple[str, str]]) -> int | None:
    """The billed milliseconds of so many bytes of what the query describes; 0: it cannot be; None: not raw audio."""
    said = _first(query)
    name = next((said[name] for name in ("encoding", "format", "codec") if said.get(name)), "")
    encoding = raw_encoding(name)
    if encoding is None:
        # A sample rate alone means raw samples.
        if name or not said.get("sample_rate"):
            return None
        encoding = "linear16"
    rate = whole_number(said.get("sample_rate") or str(_DEFAULT_RATE), most=_RATES[1])
    channels = whole_number(said.get("channels") or "1", most=_MAX_CHANNELS)
    return _billed(length, SAMPLE_BYTES[encoding], rate, channels, separate=_separate(said))


def of_wav(length: int, head: bytes, query: Iterable[tuple[str, str]]) -> int:
    """The same of a file of so many bytes that begins with `head`; 0 if that shows no WAV file of plain samples."""
    if head[:4] not in {b"RIFF", b"RF64", b"BW64"} or head[8:12] != b"WAVE":
        return 0
    at, shape = 12, None
    while at + 8 <= len(head):
        name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        at += 8
        if name == b"data":
            break
        if name == b"fmt ":
            shape = _shape(head[at : at + size])
            if shape is None:
                return 0
        if at + size > len(head):
            break
        at += size + size % 2
    if shape is None:
        return 0
    # Not the length that the data chunk has in its head: another file may follow it.
    sample_bytes, rate, channels = shape
    return _billed(length - min(at, length), sample_bytes, rate, channels, separate=_separate(_first(query)))


def _shape(chunk: bytes) -> tuple[int, int, int] | None:
    """Bytes a sample, samples a second, channels, by a fmt chunk (WAVEFORMATEX); None: not plain samples."""
    if len(chunk) < 16:
        return None
    tag, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        (tag,) = struct.unpack_from("<H", chunk, 24)
    if tag not in _PLAIN or not channels:
        return None
    sample_bytes = align // channels if align and align % channels == 0 else (bits + 7) // 8
    return (sample_bytes, rate, channels) if 1 <= sample_bytes <= _MAX_SAMPLE_BYTES else None


def _billed(length: int, sample_bytes: int, rate: int | None, channels: int | None, *, separate: bool) -> int:
    if rate is None or not channels or not _RATES[0] <= rate <= _RATES[1] or channels > _MAX_CHANNELS:
        return 0
    # Milliseconds are rounded in the bill; each channel that is transcribed separately is billed.
    milliseconds = -(-(length // (sample_bytes * channels)) * 1000 // rate)
    return milliseconds * (channels if separate else 1)


def _separate(said: dict[str, str]) -> bool:
    return said.get("multichannel", "").strip().lower() not in {"", "false", "0", "no", "off"}


def _first(query: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of equal names the first, as the STT servers read them."""
    found: dict[str, str] = {}
    for name, value in query:
        found.setdefault(name, value)
    return found
