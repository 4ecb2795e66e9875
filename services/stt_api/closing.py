"""How live streams are closed: every code and reason of the embedded STT server. Performs no I/O."""

from enum import Enum
from typing import Final

# A close frame's reason holds at most so much (RFC 6455 section 5.5).
MAX_REASON_BYTES: Final = 123


class Closing(Enum):
    """A close code and its reason, `{}` where figures go."""

    FINISHED = (1000, "")
    UNDECODABLE = (1008, "DATA-0000: {}.")
    UNPARSABLE = (1008, "DATA-0002: a text message is no JSON object with a type.")
    FAILED = (1011, "NET-0000: the recognizer failed on this stream; connect again.")
    WORKER_LOST = (1011, "NET-0000: the recognition process died; connect again.")
    SILENCE = (1011, "NET-0001: did not receive audio data or a text message within the timeout window ({:g} s).")
    RESTART = (1012, "The service restarts; connect again.")

    @property
    def code(self) -> int:
        """The close code."""
        return self.value[0]

    def reason(self, *figures: object) -> str:
        """The reason; one that did not fit would be cut between two words, and a test sees to it that none is."""
        text = self.value[1].format(*figures)
        if len(text.encode()) <= MAX_REASON_BYTES:
            return text
        kept = text.encode()[: MAX_REASON_BYTES - 1].decode(errors="ignore")
        return kept.rsplit(" ", 1)[0].rstrip(" ,;:.") + "."
