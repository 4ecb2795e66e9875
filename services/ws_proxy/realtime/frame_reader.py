"""FrameReader: the messages in what a relay writes to its client. Performs no I/O.

The relay has validated the frames (RFC 6455 section 5); a server's are not masked.
"""

from typing import Final

from ws_proxy.websocket.frames import CLOSE

# Of one message. The STT server's are a few kilobytes; a larger one has no place in a realtime session.
MAX_MESSAGE_BYTES: Final = 1 << 20


class TooLarge(Exception):
    """A message is larger than MAX_MESSAGE_BYTES."""


class FrameReader:
    """Feed it bytes, however they are cut; it returns what is complete."""

    __slots__ = ("_held", "_opcode", "_parts", "_size")

    def __init__(self) -> None:
        self._held = b""
        self._opcode = 0
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Opcode and payload of each message and control frame that ends in `data`. Raises TooLarge."""
        data = self._held + data
        found = []
        pos = 0
        while len(data) - pos >= 2:
            first, length, start = data[pos], data[pos + 1] & 0x7F, pos + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if start > len(data):
                    break
                length = int.from_bytes(data[pos + 2 : start], "big")
            if self._size + length > MAX_MESSAGE_BYTES:
                raise TooLarge
            if start + length > len(data):
                break
            payload, pos = data[start : start + length], start + length
            opcode = first & 0x0F
            if opcode >= CLOSE:
                found.append((opcode, payload))
                continue
            self._opcode = opcode or self._opcode
            self._parts.append(payload)
            self._size += length
            if first >= 0x80:
                found.append((self._opcode, b"".join(self._parts)))
                self._parts, self._size = [], 0
        self._held = data[pos:]
        return found
