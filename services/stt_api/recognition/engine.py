"""What an engine of recognition is: the interface that all of them have, and how one is loaded."""

from pathlib import Path
from typing import Final, Protocol

from stt_api.model import MOONSHINE
from stt_api.recognition.events import Word

SAMPLE_RATE: Final = 16_000


class Recognizer(Protocol):
    """Recognises one channel, an utterance after the other. Times of words are seconds since the utterance's begin."""

    def begin(self) -> None:
        """An utterance begins."""

    def feed(self, audio: bytes, *, speech: bool) -> None:
        """More of the utterance: 16-bit little-endian samples at 16 kHz. `speech`: whether it sounds like speech."""

    def interim(self) -> tuple[Word, ...]:
        """What was understood so far; more audio may change it."""

    def final(self) -> tuple[Word, ...]:
        """What was understood of the utterance, which is over."""

    def close(self) -> None:
        """Drop the utterance, if there is one."""

    def pause(self, seconds: float, *, behind: bool) -> float:
        """Seconds of audio until the next interim of an utterance that is `seconds` long.

        `behind`: more of the stream's audio waits than is recognised in time, so that computing must be saved.
        """


class Engine(Protocol):
    """One model in the memory of a recognition process, for all its streams."""

    # The silence (ms) at which recorded audio is cut, where nobody waits for words; None: as in a live stream.
    recorded_silence_ms: int | None

    def recognizer(self) -> Recognizer:
        """A recognizer for one channel of a stream."""


def load(engine: str, folder: Path | None) -> Engine:
    """Load an engine (one of stt_api.model.ENGINES) with its own model, or with the one in `folder`."""
    # Only what is used is imported: each engine brings a library of its own.
    if engine == MOONSHINE:
        from stt_api.recognition.moonshine import MoonshineEngine  # noqa: PLC0415

        return MoonshineEngine(folder)
    from stt_api.recognition.sphinx import SphinxEngine  # noqa: PLC0415

    return SphinxEngine(folder)
