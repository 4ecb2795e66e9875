"""What a caller wishes of one request, as every part of the server knows it, the recognition processes too.

Nothing here is about HTTP (that is `stt_api.query`): a recognition process has no use for it, and starts without it.
"""

import json
from dataclasses import asdict, dataclass
from typing import Final

MAX_CHANNELS: Final = 8
# An utterance ends after this much silence unless the caller says otherwise (milliseconds).
DEFAULT_ENDPOINTING_MS: Final = 300
DEFAULT_SAMPLE_RATE: Final = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenOptions:
    """One request's wishes.

    `encoding`: a key of aldea.raw_audio.SAMPLE_BYTES, or None for audio that describes itself. `codec`: mp3 or aac if
    the caller says so; then a stream may begin in the middle of a frame. `recorded`: nobody waits for words before the
    end. `max_seconds`: of audio, None for no bound. `sample_rate` in Hz and `channels` describe raw audio.
    `recognized_channels`: how many are transcribed separately, 1 unless `multichannel`. `endpointing_ms`: silence that
    ends an utterance, None for never. `utterance_end_ms`: None for no UtteranceEnd. `progress`: events say how far the
    audio is heard, also while nobody speaks.
    """

    encoding: str | None = None
    codec: str | None = None
    recorded: bool = False
    max_seconds: float | None = None
    sample_rate: int = DEFAULT_SAMPLE_RATE
    channels: int = 1
    multichannel: bool = False
    interim_results: bool = False
    endpointing_ms: int | None = DEFAULT_ENDPOINTING_MS
    utterance_end_ms: int | None = None
    vad_events: bool = False
    punctuate: bool = False
    progress: bool = False

    @property
    def recognized_channels(self) -> int:
        """How many channels are transcribed separately, at most."""
        return self.channels if self.multichannel else 1

    def to_json(self) -> str:
        """As one JSON object, for the recognition process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "ListenOptions":
        """What `to_json` wrote."""
        return cls(**json.loads(text))
