"""Responses that came compressed although that was not requested: metered, and decompressed for their callback.

The proxy requests `identity`. A server, or something between, that compresses all the same must not cost a bill: the
customer gets its bytes as they are, and the duration is read from what they unpack to, a bounded piece at a time.
"""

import zlib
from typing import Any, Final

from http_proxy.duration import DurationScanner

# RFC 9110 sections 8.4.1.2 and 8.4.1.3, and the older name of gzip.
CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})
# zlib's word for "whichever of gzip's and zlib's own header comes".
_EITHER_HEADER: Final = 32 + zlib.MAX_WBITS
PIECE_BYTES: Final = 1 << 16
# A result of a whole day of speech is a tenth of this; what unpacks to more is no result.
MAX_UNPACKED: Final = 1 << 28


class CompressedScanner(DurationScanner):
    """A `DurationScanner` that is fed with a compressed body."""

    __slots__ = ("_left", "_unpacking")

    def __init__(self) -> None:
        super().__init__()
        self._unpacking: Any = zlib.decompressobj(_EITHER_HEADER)
        self._left = MAX_UNPACKED

    def feed(self, chunk: bytes) -> None:
        """Look at the next piece of the body. Never raises: what cannot be unpacked reports nothing."""
        unpacking = self._unpacking
        while not self.done:
            try:
                piece = unpacking.decompress(chunk, PIECE_BYTES)
            except zlib.error:
                self.done = True
                return
            super().feed(piece)
            self._left -= len(piece)
            chunk = unpacking.unconsumed_tail
            if unpacking.eof or self._left < 0:
                self.done = True
            elif not chunk and len(piece) < PIECE_BYTES:
                return  # a piece of full size may leave more behind inside zlib


def unpacked(body: bytes, most: int) -> bytes:
    """What a whole compressed body unpacks to. Raises ValueError if it is broken, or larger than `most` bytes."""
    unpacking = zlib.decompressobj(_EITHER_HEADER)
    try:
        found = unpacking.decompress(body, most + 1)
    except zlib.error as error:
        raise ValueError(f"it cannot be unpacked: {error}") from None
    if len(found) > most:
        raise ValueError(f"it unpacks to more than {most} bytes")
    if not unpacking.eof:
        raise ValueError("it ends before its compression does")
    return found
