"""FinalLag: how long after the end of their audio a stream's final words come. It looks at few messages. No I/O.

What the server reports as final ends at a place in the audio. When that place came from the client is read off the
amounts of audio that were noted once a second, in between by the straight line: a microphone's audio is even, so the
lag is right to about the length of the client's pieces. No chunk pays for it.
"""

import time
from array import array
from collections.abc import Callable
from typing import Final

from ws_proxy.meter import Audio, parse_report
from ws_proxy.websocket.first_words import WORDS
from ws_proxy.websocket.leg import Leg

# So many reports of a second are looked at, a final that is measured counting for eight: no speaker's server sends more
# for long, and a flood of them costs nothing.
LOOKED_AT: Final = 16
MEASURED: Final = 8
# Marks that are kept at most; of more, every second one is dropped.
MARKS: Final = 16
# A Results whose words will not change any more, or the end of a turn (docs/speech-api-live.md). In a string the quotes
# would have backslashes.
_FINAL: Final = b'"is_final"'
_END_OF_TURN: Final = b'"EndOfTurn"'


class FinalLag:
    """One stream's, while it is on its first server and its audio is raw: of no other audio is the time known.

    `on_lag`: called with the seconds for each final with words that was looked at. `greatest`: of them, None of none.
    """

    __slots__ = ("_bytes_per_second", "_client", "_left", "_marks", "_now", "_scanner", "greatest", "on_lag")

    def __init__(
        self, bytes_per_second: int, on_lag: Callable[[float], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self.on_lag = on_lag
        self.greatest: float | None = None
        self._bytes_per_second = bytes_per_second
        self._now = now
        self._left = LOOKED_AT
        self._marks = array("d")  # bytes of audio and the time at which they were there, in turns
        self._client: Leg | None = None
        self._scanner: object = None

    def attach(self, client: Leg, upstream: Leg) -> None:
        """Look at what these two send."""
        self._client, self._scanner = client, upstream.scanner
        upstream.scanner.on_report = self._report
        self._marks.extend((0.0, self._now()))

    def tick(self, upstream: Leg) -> None:
        """Called once a second. `upstream`: where the stream is now."""
        if self._client is None or upstream.scanner is not self._scanner:
            self._client = None  # another server's times are not those of the audio
            return
        self._left = LOOKED_AT
        self._note(self._client.scanner.binary_bytes)
        if upstream.scanner.on_report is None:
            upstream.scanner.on_report = self._report

    def _note(self, audio: int) -> None:
        marks = self._marks
        if len(marks) >= 4 and marks[-2] == audio == marks[-4]:
            marks[-1] = self._now()  # nothing came meanwhile
            return
        if len(marks) >= 2 * MARKS:
            kept = [value for at in range(0, len(marks), 4) for value in marks[at : at + 2]]
            self._marks = marks = array("d", kept)
        marks.extend((audio, self._now()))

    def _report(self, payload: bytes) -> None:
        client = self._client
        if client is None:
            return
        if self._left <= 0:
            self._pause()
            return
        self._left -= 1
        at = payload.find(_FINAL)
        # The first members are the short ones: nothing is parsed, nor searched to its end, for each interim result.
        final = b"true" in payload[at + 10 : at + 16] if at >= 0 else _END_OF_TURN in payload
        if not final or WORDS.search(payload) is None or (heard := _heard(payload)) is None:
            return
        self._left -= MEASURED - 1
        now = self._now()
        place = heard.ms * self._bytes_per_second / (1000 * heard.channels)
        lag = max(0.0, now - self._came(place, client.scanner.binary_bytes, now))
        self.greatest = lag if self.greatest is None else max(self.greatest, lag)
        self.on_lag(lag)

    def _pause(self) -> None:
        client = self._client
        if client is not None and client.peer.scanner is self._scanner:
            client.peer.scanner.on_report = None

    def _came(self, place: float, sent: int, now: float) -> float:
        """When so many bytes of audio were there; marks that no later final can need are dropped.

        Where less came between two marks than a microphone gives, it came at a microphone's pace, and the pause is
        behind it: a stream's last audio is followed by none.
        """
        marks = self._marks
        audio, when = marks[0], marks[1]
        for at in range(0, len(marks), 2):
            if marks[at] >= place:
                del marks[: max(0, at - 2)]
                after = (marks[0 if at == 0 else 2], marks[1 if at == 0 else 3])
                break
            audio, when = marks[at], marks[at + 1]
        else:
            del marks[:-2]
            after = (float(sent), now)
        rise = after[0] - audio
        if rise <= 0 or place <= audio:
            return when
        even = (after[1] - when) * min(1.0, (place - audio) / rise)
        return when + min(even, (place - audio) / self._bytes_per_second)


def _heard(payload: bytes) -> Audio | None:
    """What a report says it heard; of its members only those before the first object are parsed, if that is enough."""
    head = payload[: payload.find(b"{", 1)]
    return parse_report(head[: head.rfind(b",")] + b"}") or parse_report(payload)
