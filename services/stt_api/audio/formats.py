"""Which format audio is in, recognised by its first bytes. Performs no I/O.

Only these formats are ever opened: libav's own guessing would also take playlists, which name files and addresses to
be read.
"""

from typing import Final

from stt_api.audio.elementary import adts_head, mpeg_head

# The first bytes by which a format is recognised.
SNIFF_BYTES: Final = 12
# The names of libav's demuxers; mp3, aac, flac and most of wav are read without it.
_MAGIC: Final = (
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"#!AMR", "amr"),
    (b"caff", "caf"),
    (b".snd", "au"),
)
# The first box of an MP4 or QuickTime file (ISO/IEC 14496-12, 4.2).
_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_TABLES: Final = frozenset({0x00, 0x01, 0x11})
# How far into a file its boxes are looked at for where the index is.
MAX_BOXES_BYTES: Final = 64 * 1024


def sniff(head: bytes | bytearray) -> str | None:
    """The name of the format of audio that begins with these (at least SNIFF_BYTES) bytes; None if unknown."""
    head = bytes(head[:SNIFF_BYTES])
    if head[:4] in {b"RIFF", b"RF64", b"BW64"} and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return "aiff"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[4:8] in _BOXES and (head[0] == 0 or head[4:8] == b"mdat"):
        return "mov"
    if len(head) >= 7 and adts_head(head, 0) is not None:
        return "aac"
    if len(head) >= 4 and mpeg_head(head, 0) is not None:
        return "mp3"
    # A transport stream (ISO/IEC 13818-1, 2.4.3.2) begins with a table of its programs or services.
    if len(head) >= 4 and head[0] == 0x47 and ((head[1] & 0x1F) << 8 | head[2]) in _TABLES:
        return "mpegts"
    return None


def index_comes_first(head: bytes | bytearray) -> bool | None:
    """Whether an MP4's index is before its audio: it can be decoded as it comes. None: more bytes are needed."""
    at = 0
    while at + 8 <= len(head):
        size, name = int.from_bytes(head[at : at + 4], "big"), bytes(head[at + 4 : at + 8])
        if name in {b"moov", b"mdat", b"moof"}:
            return name == b"moov"
        if size < 8 or at + size > MAX_BOXES_BYTES:
            return False
        at += size
    return None
