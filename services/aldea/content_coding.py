"""Content codings (RFC 9110 section 8.4): what a compressed body of a request decompresses to, within a bound."""

import zlib
from typing import Any, Final

from aldea.errors import BadRequest, PayloadTooLarge, UnprocessableEntity

# Their names; the second is gzip's older one (RFC 9110 section 8.4.1.3).
CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})
# The most that is decompressed at a time of a body that passes piece by piece.
PIECE_BYTES: Final = 64 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS


def coding(header: str) -> str:
    """The coding that a Content-Encoding names, empty for none. Raises BadRequest for one that is not known here."""
    named = header.strip().lower()
    if named in {"", "identity"}:
        return ""
    if named == "br":
        raise BadRequest(
            "Content-Encoding: got 'br' (Brotli), which is not decompressed here. Send gzip, deflate or none; audio in "
            "a compressed format (MP3, Opus, FLAC …) gains nothing by any."
        )
    if named not in CODINGS:
        raise BadRequest(f"Content-Encoding: got {header!r:.40}, allowed are gzip, deflate or none at all.")
    return named


class Decompressor:
    """Decompresses a body that passes piece by piece, a bounded piece at a time. Performs no I/O."""

    def __init__(self, header: str) -> None:
        """`header`: the Content-Encoding. Raises BadRequest for one that is not known here."""
        self._named = coding(header)
        self._zlib: Any = None
        self._compressed = b""
        self._begun = self._full = False

    @property
    def waiting(self) -> bool:
        """Whether `read` has something to work on."""
        # After a full piece zlib may hold more that came of the same input.
        return bool(self._compressed) or self._full

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._compressed += data

    def read(self) -> bytes:
        """Some of what is decompressed, at most PIECE_BYTES. Raises BadRequest."""
        data, self._compressed = self._compressed, b""
        if not self._named:
            return data
        if self._zlib is None:
            self._full = False
            if self._begun and not data.strip(b"\0"):
                return b""  # files of gzip may be padded with zeros
            self._zlib = _zlib_object(self._named, data)
            self._begun = True
        try:
            decompressed: bytes = self._zlib.decompress(data, PIECE_BYTES)
        except zlib.error:
            raise BadRequest(
                f"The body is not {self._named}, as its Content-Encoding says, or is damaged. Send it as it is."
            ) from None
        self._compressed, self._full = self._zlib.unconsumed_tail, len(decompressed) == PIECE_BYTES
        if self._zlib.eof:
            # A gzip file may have several members (RFC 1952 section 2.2).
            self._compressed, self._zlib = self._zlib.unused_data, None
        return decompressed

    def end(self) -> None:
        """Nothing more comes. Raises UnprocessableEntity if the body was cut."""
        if self._zlib is not None:
            raise UnprocessableEntity(f"The body broke off: its {self._named} data has no end. Send all of it.")


def decompressed(body: bytes, header: str, most: int) -> bytes:
    """What the whole `body` decompresses to; `header`: its Content-Encoding.

    Raises BadRequest where it is not of that coding, UnprocessableEntity where it has no end, PayloadTooLarge where it
    decompresses to more than `most` bytes.
    """
    decompressor = Decompressor(header)
    decompressor.feed(body)
    found = bytearray()
    while decompressor.waiting:
        found += decompressor.read()
        if len(found) > most:
            raise PayloadTooLarge(f"The body decompresses to more than {most} bytes, the most that is allowed here.")
    decompressor.end()
    return bytes(found)


def _zlib_object(named: str, data: bytes) -> Any:
    if named != "deflate":
        return zlib.decompressobj(_GZIP)
    # "deflate" means zlib's format; many send the bare one (RFC 9110 section 8.4.1.2).
    return zlib.decompressobj(zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS)
