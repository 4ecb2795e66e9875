"""Finds the audio's duration in a JSON response while it passes: any chunk split, bounded memory, no second copy.

`/v1/listen` reports `metadata.duration` and `metadata.channels`, `/transcribe` a `duration` at the top; either may
be anywhere in the object. Only keys of the top object and of `metadata` are looked at. Everything deeper is skipped
by counting brackets, in C wherever a whole chunk can be skipped at once. A small response in one piece is parsed.
"""

import json
import re
from typing import Final, TypeGuard

# A key or number longer than this is none that we look for; it bounds what is carried from one chunk to the next.
MAX_TOKEN: Final = 64
# Durations beyond this (about 115 days) and channel counts beyond this are not believed.
MAX_SECONDS: Final = 1e7
MAX_CHANNELS: Final = 64

# None of these can match a text in two ways, so the time is linear in the response's length. Possessive quantifiers
# would say so themselves, but Python 3.11.2, which Debian 12 has, matches wrongly with them.
_STRING_INSIDE: Final = rb'[^"\\]*(?:\\.[^"\\]*)*'
_TOKEN: Final = re.compile(rb'[ \t\r\n]*(?:("%b")|([{}\[\]:,])|([^ \t\r\n{}\[\]:,"]+))' % _STRING_INSIDE, re.DOTALL)
_STRING_REST: Final = re.compile(_STRING_INSIDE, re.DOTALL)
_TO_BRACKET: Final = re.compile(rb'[^{}\[\]"]*(?:"%b"[^{}\[\]"]*)*' % _STRING_INSIDE, re.DOTALL)
_NOT_BRACKETS: Final = bytes(sorted(set(range(256)) - set(b"{}[]")))
# A response that comes in one piece of at most this size is parsed as a whole, which is several times as fast; and of
# one that begins with its metadata, as `/v1/listen` writes it, these are enough.
WHOLE_BYTES: Final = 1 << 14
_FLAT: Final = rb'[^{}\[\]"\\]*(?:"[^"\\]*"[^{}\[\]"\\]*)*'
_NESTED: Final = rb"%b(?:[{\[]%b(?:[{\[]%b[}\]]%b)*[}\]]%b)*" % ((_FLAT,) * 5)
_METADATA_FIRST: Final = re.compile(rb'\{"metadata":(\{%b\})' % _NESTED)
_decode: Final = json.JSONDecoder().raw_decode
_OPENING: Final = frozenset(b"{[")
_QUOTE: Final = ord('"')
# Rounds in which neighbouring pairs of brackets cancel out; deeper nesting is counted one by one.
_COLLAPSE_ROUNDS: Final = 6


class DurationScanner:
    """Feed it the response's body; then `duration` (seconds) and `channels` are what it reported, or None."""

    __slots__ = (
        "_after_colon", "_carry", "_depth", "_fresh", "_in_string", "_key", "_level", "_top_channels", "_top_duration",
        "channels", "done", "duration",
    )  # fmt: skip

    def __init__(self) -> None:
        self.duration: float | None = None
        self.channels: int | None = None
        self.done = False  # nothing that follows can change the result
        self._fresh = True  # nothing was fed yet
        self._top_duration: float | None = None
        self._top_channels: int | None = None
        self._carry = b""
        self._in_string = False
        self._depth = 0
        self._level = 1  # the depth whose keys are looked at: 1 the top object, 2 inside `metadata`
        self._key = b""
        self._after_colon = False

    def feed(self, chunk: bytes) -> None:
        """Look at the next piece of the body. Never raises: what is no JSON object simply reports nothing."""
        if self.done or (self._fresh and self._whole(chunk)):
            return
        data = self._carry + chunk if self._carry else chunk
        self._carry = b""
        position, end = 0, len(data)
        whole = True  # whether skipping the rest of the chunk at once has not been tried yet
        while position < end and not self.done:
            if self._in_string:
                position = self._leave_string(data, position)
            elif self._depth > self._level:
                if whole and self._skip_whole(data, position):
                    return
                whole = False
                position = self._skip(data, position)
            else:
                position = self._token(data, position)

    def _whole(self, chunk: bytes) -> bool:
        """Take the first piece for a whole response, or for one with its metadata whole: whether that was so."""
        self._fresh = not chunk
        if match := _METADATA_FIRST.match(chunk):
            try:
                metadata, _ = _decode(match[1].decode())
            except ValueError:
                return False
            self.duration = _seconds(metadata.get("duration"))
            if self.duration is not None:
                self.channels = _count(metadata.get("channels"))
                self.done = True
                return True
        if len(chunk) > WHOLE_BYTES or chunk[-1:] != b"}" or chunk.count(b'"metadata"') > 1:
            return False
        try:
            response = json.loads(chunk.decode())
        except (ValueError, RecursionError):
            return False
        if not isinstance(response, dict):
            return False
        metadata = response.get("metadata")
        for place in (metadata, response) if isinstance(metadata, dict) else (response,):
            self.duration = _seconds(place.get("duration"))
            self.channels = _count(place.get("channels"))
            if self.duration is not None:
                break
        self.done = True
        return True

    def _leave_string(self, data: bytes, position: int) -> int:
        match = _STRING_REST.match(data, position)
        position = match.end() if match else position
        if position < len(data) and data[position] == _QUOTE:
            self._in_string = False
            return position + 1
        self._carry = data[position:]  # empty, or a backslash whose partner has not come yet
        return len(data)

    def _skip_whole(self, data: bytes, position: int) -> bool:
        """Skip all that is left of this chunk, unless the value that is being skipped may end in it."""
        rest = data[position:] if position else data
        carry = b""
        if b"\\" in rest:
            if (len(rest) - len(rest.rstrip(b"\\"))) % 2:
                rest, carry = rest[:-1], b"\\"
            # Escapes occur in strings alone; without them every quote begins or ends one.
            rest = rest.replace(b"\\\\", b"").replace(b'\\"', b"")
        pieces = rest.split(b'"')
        brackets = b"".join(pieces[::2]).translate(None, _NOT_BRACKETS)
        for _ in range(_COLLAPSE_ROUNDS):
            shorter = brackets.replace(b"{}", b"").replace(b"[]", b"")
            if len(shorter) == len(brackets):
                break
            brackets = shorter
        depth = self._depth
        for bracket in brackets:
            depth += 1 if bracket in _OPENING else -1
            if depth <= self._level:
                return False
        self._depth = depth
        self._in_string = len(pieces) % 2 == 0
        self._carry = carry
        return True

    def _skip(self, data: bytes, position: int) -> int:
        """Skip up to the end of the value, bracket by bracket."""
        end = len(data)
        while position < end:
            match = _TO_BRACKET.match(data, position)
            position = match.end() if match else position
            if position >= end:
                break
            if data[position] == _QUOTE:  # a string that does not end in this chunk
                self._in_string = True
                return position + 1
            self._depth += 1 if data[position] in _OPENING else -1
            position += 1
            if self._depth <= self._level:
                break
        return position

    def _token(self, data: bytes, position: int) -> int:
        """Take one token of an object that is looked at."""
        end = len(data)
        match = _TOKEN.match(data, position)
        if match is None or (match.lastindex == 3 and match.end() == end):
            return self._unfinished(data, position)
        if match.lastindex == 1:
            if not self._after_colon:
                self._key = match[1] if len(match[1]) <= MAX_TOKEN else b""
            elif self._depth == 0:
                self.done = True
        elif match.lastindex == 3:
            self._value(match[3])
        else:
            self._punctuation(match[2])
        if self._depth == 0:
            self.done = True
        return match.end()

    def _unfinished(self, data: bytes, position: int) -> int:
        rest = data[position:].lstrip(b" \t\r\n")
        if len(rest) <= MAX_TOKEN:
            self._carry = rest
        elif rest[0] == _QUOTE and self._depth:
            if not self._after_colon:
                self._key = b""
            self._in_string = True
            return len(data) - len(rest) + 1
        else:
            self.done = True
        return len(data)

    def _punctuation(self, token: bytes) -> None:
        if token == b":":
            self._after_colon = True
        elif token == b",":
            self._key, self._after_colon = b"", False
        elif token == b"{":
            self._depth += 1
            if self._depth == 2 and self._level == 1 and self._after_colon and _text(self._key) == "metadata":
                self._level = 2
                self._key, self._after_colon = b"", False
        elif token == b"[":
            self._depth += 1
            # The top must be an object; inside one, a list is a value that is skipped.
            self.done = self._depth == 1
        elif token == b"}":
            self._depth -= 1
            self._level = 1
            if self.duration is not None and self._depth == 1:
                self.done = True  # `metadata` has ended; it outranks the top
            elif self._depth == 0 and self.duration is None:
                self.duration, self.channels = self._top_duration, self._top_channels
        else:
            self.done = True

    def _value(self, token: bytes) -> None:
        if not self._after_colon:
            self.done = True
            return
        key = _text(self._key)
        if key == "duration":
            seconds = _seconds(_number(token))
            if self._level == 2:
                self.duration = seconds
            else:
                self._top_duration = seconds
        elif key == "channels":
            count = _count(_number(token))
            if self._level == 2:
                self.channels = count
            else:
                self._top_channels = count


def _text(key: bytes) -> str:
    try:
        return str(json.loads(key)) if key else ""
    except ValueError:
        return ""


def _number(token: bytes) -> float | None:
    try:
        return float(token)
    except ValueError:
        return None


def _seconds(value: object) -> float | None:
    return float(value) if _is_number(value) and 0 <= value <= MAX_SECONDS else None


def _count(value: object) -> int | None:
    return int(value) if _is_number(value) and 1 <= value <= MAX_CHANNELS else None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
