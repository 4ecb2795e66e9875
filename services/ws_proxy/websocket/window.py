"""ReplayWindow: what a client sent since the last final result, kept so that another STT server can be sent it again.

The chunks are kept as they came, and nothing is looked at while they pass, not even how many they are: a masked frame
is a valid one for another server as it is. Only when a window is trimmed, or sent again, are the headers in it read.
Performs no I/O.
"""

import copy
import json
from itertools import repeat
from typing import Any, Final, Protocol

from ws_proxy.websocket.frames import BINARY, CLOSE, CONTINUATION, TEXT, frame, frame_head, mask_bytes

# What a kept chunk costs beside its bytes: the object, and its place in the list.
CHUNK_OVERHEAD: Final = 64
# A window is trimmed when it has grown by so much since it was last trimmed, or by this part of what it may hold: one
# look in two seconds of 16 kHz audio. Each costs some microseconds.
LOOK_BYTES: Final = 64 * 1024
LOOK_SHARE: Final = 4
# What a window has grown by is counted when the client has sent so much more: the bound of the process, and the metric,
# are right to so much a stream.
COUNT_BYTES: Final = 32 * 1024
# The same for a stream whose chunks are not known yet: tiny ones cost many times their bytes.
FIRST_COUNT_BYTES: Final = 4 * 1024
# So many chunks are counted within a second, however few bytes they have.
COUNT_CHUNKS: Final = 128
# What a window may hold beyond its audio: headers, and the cost of small chunks.
SLACK_BYTES: Final = 16 * 1024
# What the messages may take together that change how a server understands the audio; they outlive a trim.
MAX_SETTINGS_BYTES: Final = 16 * 1024
# What is remembered of a stream's beginning: enough to see that it is a file.
BEGAN_WITH_BYTES: Final = 4
# Text messages that have had their effect once the audio before them is final.
_PASSING: Final = frozenset({"KeepAlive", "Finalize", "CloseStream"})
_ENDLESS: Final = 1 << 62
# The first byte of a message of audio in one frame (RFC 6455 section 5.2: FIN and the opcode).
_WHOLE_BINARY: Final = 0x80 | BINARY


class Budget:
    """What all windows of a process hold together, in bytes, and how many of them lack some of their audio."""

    __slots__ = ("limit", "torn", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.torn = 0


class _Cursor:
    """A place in a stream of validated frames of a client: which message it is in, and how much audio came before."""

    __slots__ = (
        "audio",
        "began_with",
        "finalized",
        "fragmented",
        "last_frame",
        "left",
        "mask",
        "opcode",
        "phase",
        "settings",
        "text",
    )

    def __init__(self) -> None:
        self.audio = 0  # payload bytes of binary messages before it
        self.began_with = b""  # the first of those
        self.left = 0  # payload bytes of the current frame behind it
        self.opcode = 0  # of the message that it is in, or was in last
        self.last_frame = True  # the current frame ends its message
        self.fragmented = False  # it is behind the first frame of a message and not behind its last
        self.mask = b""
        self.phase = 0  # bytes of the current frame before it, modulo 4
        self.text = b""  # of the text message that it is in, so far
        self.finalized = False  # it has just passed a Finalize
        self.settings: tuple[bytes, ...] | None = ()  # the other text messages that it passed; None: too many

    def advance(self, data: bytes, pos: int, until: int, *, past_finalize: bool = False) -> int:
        """Go on from `pos` of `data` until `until` bytes of audio are behind; where in `data` that is.

        `past_finalize`: to behind the next Finalize instead.
        """
        size = len(data)
        while pos < size:
            if (past_finalize and self.finalized) or self.audio >= until:
                break
            if self.left:
                pos = self._payload(data, pos, until)
                continue
            first, length = data[pos], data[pos + 1] & 0x7F
            start = pos + 6
            if first & 0x0F >= CLOSE:  # whole, and not longer than this
                pos = start + length
                continue
            if length >= 126:
                start += 2 if length == 126 else 8
                length = int.from_bytes(data[pos + 2 : start - 4], "big")
            if first & 0x0F:
                self.opcode, self.text = first & 0x0F, b""
            self.mask, self.phase, self.left = data[start - 4 : start], 0, length
            self.last_frame = first >= 0x80
            self.fragmented = True
            pos = start
            if not length:
                self._frame_ended()
        return pos

    def _payload(self, data: bytes, pos: int, until: int) -> int:
        take = min(self.left, len(data) - pos)
        if self.opcode == BINARY:
            take = min(take, until - self.audio)
            if self.audio < BEGAN_WITH_BYTES:
                self.began_with += mask_bytes(data[pos : pos + min(take, BEGAN_WITH_BYTES)], self.rotated_mask())
            self.audio += take
        else:
            self.text += mask_bytes(data[pos : pos + take], self.rotated_mask())
        self.phase = (self.phase + take) & 3
        self.left -= take
        if not self.left:
            self._frame_ended()
        return pos + take

    def _frame_ended(self) -> None:
        if not self.last_frame:
            return
        self.fragmented = False
        if self.opcode == TEXT:
            kind = _kind(self.text)
            self.finalized = kind == "Finalize"
            if kind not in _PASSING and self.settings is not None:
                settings = (*self.settings, self.text)
                self.settings = settings if sum(map(len, settings)) <= MAX_SETTINGS_BYTES else None
            self.text = b""

    def rotated_mask(self) -> bytes:
        """The mask for the rest of the current frame's payload."""
        return self.mask[self.phase :] + self.mask[: self.phase]

    def head(self) -> bytes:
        """What makes the bytes behind the cursor a valid stream by themselves."""
        if self.opcode == TEXT and (self.left or self.fragmented):
            begun = frame_head(TEXT, len(self.text), bytes(4)) + self.text
            if not self.left:
                return begun
            return begun + frame_head(CONTINUATION | 0x80 * self.last_frame, self.left, self.rotated_mask())
        if self.left:
            return frame_head(self.opcode | 0x80 * self.last_frame, self.left, self.rotated_mask())
        # A message whose next frame is a continuation: begun anew, with nothing.
        return frame_head(self.opcode, 0, bytes(4)) if self.fragmented else b""


def _kind(text: bytes) -> Any:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message.get("type") if isinstance(message, dict) else None


class WindowOwner(Protocol):
    """Who trims a window: a reference to it is held, where a callback would be an object more for each stream."""

    def look(self) -> None:
        """It is time to `trim`."""


class ReplayWindow:
    """One stream's. Audio is counted in payload bytes of its binary messages, from the stream's beginning."""

    __slots__ = (
        "_begin",
        "_budget",
        "_counted",
        "_cursor",
        "_known",
        "_length",
        "_limit",
        "_look_at",
        "_look_bytes",
        "_odd",
        "_others",
        "_owner",
        "_size",
        "chunks",
        "frozen",
        "torn",
    )

    def __init__(self, limit: int, budget: Budget, owner: WindowOwner) -> None:
        """`limit`: how many bytes may be held."""
        self.chunks: list[bytes] = []  # one and the same list: whoever passes the client's chunks on appends to it
        self._begin = 0  # where in the first chunk the cursor is
        self._cursor = _Cursor()
        self._limit = limit
        self._budget = budget
        self._owner: WindowOwner | None = owner
        self._size = 0  # of the first chunks
        self._known = 0  # so many
        self._counted = 0  # what the budget knows of `size`
        self._length = 0  # the length of each of them, if they have one
        self._others = 0  # see `drop_whole`
        self._odd = 0  # so many of the first chunks may be something else than a message of audio
        self._look_bytes = min(LOOK_BYTES, limit // LOOK_SHARE)
        self._look_at = self._look_bytes  # what `size` is when it is time for a look
        self.frozen = False  # nothing is dropped for want of room
        self.torn = False  # something was, and its words are not final yet

    def grown(self) -> int:
        """It has grown: keep to the bounds. Returns after how many bytes more this is to be called again."""
        before, new = self._size, len(self.chunks) - self._known
        size, budget = self.size, self._budget
        grown = size - before
        budget.used += size - self._counted
        self._counted = size
        if size >= self._look_at or budget.used > budget.limit:
            if self._owner is not None:
                self._owner.look()
            self.settle()
        if grown <= 0:
            return FIRST_COUNT_BYTES
        step = min(COUNT_BYTES, self._look_at - self._size)
        return max(1, step * (grown - new * CHUNK_OVERHEAD) // grown)  # the chunks' own cost is a part of it

    def tick(self) -> None:
        """Called every second or so: a client may have begun to send smaller chunks."""
        if len(self.chunks) - self._known > COUNT_CHUNKS:
            self.grown()

    @property
    def size(self) -> int:
        """How many bytes it holds, with what the chunks cost."""
        chunks, known = self.chunks, self._known
        if len(chunks) != known:
            new = chunks[known:]
            lengths = set(map(len, new))
            length = lengths.pop()
            if lengths:
                self._size += sum(map(len, new)) + len(new) * CHUNK_OVERHEAD
                self._length = 0
            else:
                self._size += len(new) * (length + CHUNK_OVERHEAD)
                if self._length != length:
                    self._length = 0 if known else length
            self._known = len(chunks)
        return self._size

    @property
    def begin(self) -> int:
        """Where the audio begins that is kept."""
        return self._cursor.audio

    @property
    def began_with(self) -> bytes:
        """The first bytes of the stream's audio, if they have been dropped."""
        return self._cursor.began_with

    @property
    def full(self) -> bool:
        """Whether it holds as much as it may."""
        return self.size >= self._limit or self._budget.used > self._budget.limit

    @property
    def complete(self) -> bool:
        """Whether it knows all messages of the client that change how the audio is understood."""
        return self._cursor.settings is not None

    def trim(self, until: int, *, finalized: bool = False) -> int:
        """Drop the audio before `until`, and the messages before it. Returns where the kept audio begins now.

        `finalized`: the server has replied to a Finalize: what came before that is dropped too.
        """
        if self.torn and until >= self.begin:
            self._tear(torn=False)
        self._drop(until)
        if finalized:
            ahead, pos = copy.copy(self._cursor), self._begin
            ahead.finalized = False
            for number, chunk in enumerate(self.chunks):
                pos = ahead.advance(chunk, pos, _ENDLESS, past_finalize=True)
                if ahead.finalized:
                    self._cursor = ahead
                    self._begin = pos
                    self._forget(number)
                    self._tear(torn=False)
                    break
                pos = 0
        return self._cursor.audio

    def drop_whole(self, until: int, sent: int, others: int) -> bool:
        """As `trim`, but of whole chunks alone, and without a look at any; False if that cannot be done.

        `sent`: how much audio came in all, its last message is whole. `others`: how many chunks came that were not
        one message of audio in one frame each.
        """
        chunks, cursor, length = self.chunks, self._cursor, self._length
        if others != self._others:
            self._others, self._odd = others, len(chunks)
        begin = cursor.audio
        if not (chunks and length) or self._odd or begin < BEGAN_WITH_BYTES or self.torn:
            return False
        if self._begin or cursor.fragmented:
            return False
        # The header of each has 6 or 8 bytes. Chunks of one length with as much audio as if all had 6, or all had 8,
        # have as much each.
        each, rest = divmod(sent - begin, len(chunks))
        if rest or length - each not in (6, 8):
            return False
        number = (until - begin) // each
        if number > 0:
            cursor.audio = begin + number * each
            self._size -= number * (length + CHUNK_OVERHEAD)
            del chunks[:number]
            self._known = len(chunks)
        return True

    def _drop(self, until: int) -> None:
        dropped, chunks, cursor = 0, self.chunks, self._cursor
        while dropped < len(chunks) and cursor.audio < until:
            if alike := self._alike(dropped, until):
                dropped += alike
                continue
            self._begin = cursor.advance(chunks[dropped], self._begin, until)
            if self._begin < len(chunks[dropped]):
                break
            self._begin = 0
            dropped += 1
        self._forget(dropped)

    def _alike(self, number: int, until: int) -> int:
        """Pass chunks from this one on that are a message of audio in one frame each, all of one length; how many.

        Nearly all chunks of a client are: of a run of them only one header is read. Less than `until` lies before.
        """
        chunks, cursor = self.chunks, self._cursor
        first = chunks[number]
        if self._begin or cursor.left or cursor.fragmented or first[0] != _WHOLE_BINARY or not cursor.began_with:
            return 0
        length, start = first[1] & 0x7F, 6
        if length == 126:
            length, start = first[2] << 8 | first[3], 8
        size, head = start + length, first[: start - 4]
        if not length or size != len(first):
            return 0
        run = chunks[number : number + (until - cursor.audio) // length]
        count = len(run)
        if not all(map(bytes.startswith, run, repeat(head))) or {size} != {size, *map(len, run)}:
            count = next(at for at, chunk in enumerate(run) if len(chunk) != size or not chunk.startswith(head))
        cursor.audio += count * length
        return count

    def _forget(self, number: int) -> None:
        """Drop so many chunks, which the cursor has passed."""
        chunks = self.chunks
        if not number:
            return
        size = self.size
        self._size = size - sum(map(len, chunks[:number])) - number * CHUNK_OVERHEAD
        del chunks[:number]
        self._known = len(chunks)
        self._odd = max(0, self._odd - number)
        if not self._length:
            lengths = set(map(len, chunks))
            self._length = lengths.pop() if len(lengths) == 1 else 0

    def settle(self) -> None:
        """Keep to the bounds, after a trim: the oldest is dropped, and the stream cannot be continued from there."""
        self._count()
        if not self.frozen and self.full:
            most = self._limit - self._look_bytes if self._budget.used <= self._budget.limit else 0
            size, dropped = self.size, 0
            while size > most and dropped < len(self.chunks):
                chunk = self.chunks[dropped]
                self._cursor.advance(chunk, self._begin, _ENDLESS)
                self._begin = 0
                size -= len(chunk) + CHUNK_OVERHEAD
                dropped += 1
            self._forget(dropped)
            self._count()
            self._tear(torn=self.torn or dropped > 0)
        self._look_at = self._size + self._look_bytes
        if self._size < self._limit < self._look_at:
            self._look_at = self._limit

    def _tear(self, *, torn: bool) -> None:
        self._budget.torn += torn - self.torn
        self.torn = torn

    def _count(self) -> None:
        size = self.size
        self._budget.used += size - self._counted
        self._counted = size

    def replay(self) -> list[bytes]:
        """What another server is to be sent: a valid stream of frames whose audio begins at `begin`."""
        found = [frame(TEXT, text, masked=True) for text in self._cursor.settings or ()]
        if head := self._cursor.head():
            found.append(head)
        for number, chunk in enumerate(self.chunks):
            found.append(chunk if number else chunk[self._begin :])
        return [piece for piece in found if piece]

    def release(self) -> None:
        """Let go of everything: the stream has ended, or can never be continued."""
        self._forget(len(self.chunks))
        self._begin = 0
        self._count()
        self._tear(torn=False)
        self._owner = None
