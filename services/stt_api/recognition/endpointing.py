"""Where an utterance begins and ends: a state machine over 30 ms frames that are speech or not. Performs no I/O."""

from collections import deque
from enum import Enum
from typing import Final

FRAME_MS: Final = 30
# Speech begins when this many of the last frames were speech: a click or a plosive alone is no utterance.
_WINDOW_FRAMES: Final = 10
_ONSET_FRAMES: Final = 4
# Shorter pauses occur inside words (before a plosive) and cost accuracy, so a shorter wish is raised to this.
MIN_SILENCE_MS: Final = 240
# Speech without a pause is cut so that the caller gets words in time, and to bound the recogniser's memory:
# from the first of these on at any short pause, at the second whatever is being said.
_SOFT_LIMIT_FRAMES: Final = 12_000 // FRAME_MS
_HARD_LIMIT_FRAMES: Final = 20_000 // FRAME_MS
_SHORT_PAUSE_FRAMES: Final = 120 // FRAME_MS


class Change(Enum):
    """What a frame brought about."""

    STARTED = "started"
    ENDED = "ended"  # by silence
    CUT = "cut"  # because it is long; speech goes on


class Endpointer:
    """Gets for each frame whether it is speech; says when an utterance starts and ends."""

    # Audio before the onset that belongs to the utterance: what the onset's detection took.
    PREROLL_FRAMES: Final = _WINDOW_FRAMES

    def __init__(self, silence_ms: int | None) -> None:
        """`silence_ms`: the silence that ends an utterance, None for none (then only its length does)."""
        self._silence_frames = None if silence_ms is None else max(silence_ms, MIN_SILENCE_MS) // FRAME_MS
        self._recent: deque[bool] = deque(maxlen=_WINDOW_FRAMES)
        self._frames = 0
        self._silent = 0
        self.in_speech = False

    def push(self, is_speech: bool) -> Change | None:
        """Take one frame."""
        if not self.in_speech:
            self._recent.append(is_speech)
            if sum(self._recent) < _ONSET_FRAMES:
                return None
            self._begin(len(self._recent))
            return Change.STARTED
        self._frames += 1
        self._silent = 0 if is_speech else self._silent + 1
        if self._silence_frames is not None and self._silent >= self._silence_frames:
            self.reset()
            return Change.ENDED
        if self._frames >= _HARD_LIMIT_FRAMES or (
            self._frames >= _SOFT_LIMIT_FRAMES and self._silent >= _SHORT_PAUSE_FRAMES
        ):
            # In a pause nothing is being said: the next utterance waits for its own onset.
            if self._silent >= _SHORT_PAUSE_FRAMES:
                self.reset()
            else:
                self._begin(0)
            return Change.CUT
        return None

    def reset(self) -> None:
        """Forget the utterance: the next frames look for an onset."""
        self._recent.clear()
        self.in_speech = False

    def _begin(self, frames: int) -> None:
        self.in_speech = True
        self._frames, self._silent = frames, 0
