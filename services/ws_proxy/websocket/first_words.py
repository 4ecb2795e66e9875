"""FirstWords: the time from a stream's first audio to its first words. It looks only until both have come. No I/O."""

import re
import time
from collections.abc import Callable
from typing import Final

from ws_proxy.websocket.leg import Leg
from ws_proxy.websocket.scanner import FrameScanner

# A transcript that is not empty, in a Results (docs/api.md). In a string the first quote would have a backslash.
WORDS: Final = re.compile(rb'"transcript"[ \t\r\n]{0,16}:[ \t\r\n]{0,16}" {0,16}[^" ]')


class FirstWords:
    """One stream's. A stream whose server is replaced before its first words is not measured: that is a failover.

    `on_words`: called with the seconds, once. `seconds`: the same, None until then.
    """

    __slots__ = ("_audio_at", "_missed", "_now", "_scanner", "_then", "on_words", "seconds")

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.on_words: Callable[[float], None] | None = None
        self._now = now
        self._audio_at: float | None = None
        self._missed = False
        self.seconds: float | None = None
        self._scanner: FrameScanner | None = None
        self._then: Callable[[bytes], None] | None = None

    def attach(self, client: Leg, upstream: Leg) -> None:
        """Look at what these two send, before any of it arrives. Once both came, nothing is in its way any more."""
        self._scanner = scanner = upstream.scanner
        self._then = scanner.on_report
        scanner.on_report = self._report
        client.at_first_audio(self._audio)

    def missed(self, upstream: Leg, within: float) -> bool:
        """Whether no words came `within` so many seconds of the first audio; true once. `upstream`: where it is now."""
        if self._missed or self.seconds is not None or self._audio_at is None or upstream.scanner is not self._scanner:
            return False
        self._missed = self._now() - self._audio_at > within
        return self._missed

    def _audio(self) -> None:
        self._audio_at = self._now()

    def _report(self, payload: bytes) -> None:
        if self._audio_at is not None and WORDS.search(payload):
            self.seconds = self._now() - self._audio_at
            if self._scanner is not None:
                self._scanner.on_report = self._then
            if self.on_words is not None:
                self.on_words(self.seconds)
        if self._then is not None:
            self._then(payload)
